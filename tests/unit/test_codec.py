"""Events and messages survive the database, and their wire form never changes."""

from __future__ import annotations

import copy
import json
import pickle

from pathlib import Path

import pytest

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from duroxide._core import codec
from duroxide._core import events as ev
from duroxide._core.messages import Deliver, StartOrchestration
from duroxide.errors import ErrorCategory, ErrorDetails, ErrorKind


GOLDEN = Path(__file__).parent.parent / "golden" / "events.json"

DETAILS = ErrorDetails(
    ErrorCategory.APPLICATION,
    ErrorKind.ACTIVITY_FAILED,
    "no stock",
    type="shop.OutOfStock",
    traceback="Traceback …",
    cause=ErrorDetails(ErrorCategory.POISON, ErrorKind.POISONED_ACTIVITY, "", attempt_count=11, max_attempts=10),
    retryable=True,
    attempt=2,
    subject="ship",
)
KV = {"color": ev.KvEntry('"blue"', 5), "": ev.KvEntry('"\0\ud800"', 6)}
QUEUED = (ev.QueuedMessage("mail", '"hi"'), ev.QueuedMessage("mail", "2"))
PARENT = ev.Parent("parent", 2, 7)

EVENTS = (
    ev.OrchestrationStarted(1, 9, "order-1", 2, "fulfil", "1.0.0", "{}", PARENT, "1.2.3", "busy", KV, QUEUED),
    ev.OrchestrationCompleted(2, 9, '"done"'),
    ev.OrchestrationFailed(2, 9, DETAILS),
    ev.OrchestrationContinuedAsNew(2, 9, "[1,2]"),
    ev.ActivityScheduled(2, 9, "charge", '{"id":"1"}', "session", "gpu", 3),
    ev.ActivityCompleted(3, 9, 2, '"ok"'),
    ev.ActivityFailed(3, 9, 2, DETAILS),
    ev.ActivityCancelRequested(3, 9, 2, ev.DROPPED),
    ev.TimerCreated(2, 9, 1_700_000_000_000),
    ev.TimerFired(3, 9, 2, 1_700_000_000_000),
    ev.ExternalSubscribed(2, 9, "approved"),
    ev.ExternalEvent(3, 9, "approved", "true"),
    ev.ExternalSubscribedCancelled(3, 9, 2, ev.DROPPED),
    ev.QueueSubscribed(2, 9, "mail"),
    ev.QueueEventDelivered(3, 9, "mail", '"hi"'),
    ev.QueueSubscriptionCancelled(3, 9, 2, ev.DROPPED),
    ev.SubOrchestrationScheduled(2, 9, "child", "order-1::sub::2", "null", "2.0.0"),
    ev.SubOrchestrationCompleted(3, 9, 2, "null"),
    ev.SubOrchestrationFailed(3, 9, 2, DETAILS),
    ev.SubOrchestrationCancelRequested(3, 9, 2, ev.DROPPED),
    ev.OrchestrationChained(2, 9, "audit", "audit-1", "1", "1.0.0"),
    ev.OrchestrationCancelRequested(2, 9, "no longer needed"),
    ev.CustomStatusUpdated(2, 9, "half \0 \ud800 😀"),
    ev.KeyValueSet(2, 9, "color", '"blue"', 5),
    ev.KeyValueCleared(2, 9, "color"),
    ev.KeyValuesCleared(2, 9),
)
START = StartOrchestration("order-1", "fulfil", "{}", "1.0.0", 2, PARENT, "busy", KV, QUEUED)
BARE_START = StartOrchestration("order-1", "fulfil", "null")
BARE_EVENTS = (
    ev.OrchestrationStarted(1, 9, "order-1", 1, "fulfil", "1.0.0", "{}"),
    ev.ActivityScheduled(2, 9, "charge", "null"),
    ev.SubOrchestrationScheduled(2, 9, "child", "c", "null"),
    ev.CustomStatusUpdated(2, 9),
)


def kind_of(event):
    return ev.TYPE_NAMES[type(event)]


def wire_forms():
    forms = {kind_of(event): codec.encode_event(event) for event in EVENTS}
    return forms | {codec.START_KIND: codec.encode_message(START)}


class TestEvents:
    def test_golden(self):
        """What was written by an older release is what we write today, for every kind of event."""
        assert json.loads(GOLDEN.read_text()) == wire_forms()

    def test_golden_is_complete(self):
        """Every kind of event is pinned."""
        assert {*ev.EVENT_TYPES, codec.START_KIND} == set(json.loads(GOLDEN.read_text()))

    @pytest.mark.parametrize("event", EVENTS + BARE_EVENTS, ids=kind_of)
    def test_round_trip(self, event):
        """An event comes back from the database as it was."""
        text = codec.encode_event(event)

        assert text.isascii()
        assert event == codec.decode_event(kind_of(event), event.event_id, event.timestamp_ms, text)

    @pytest.mark.parametrize("event", EVENTS + BARE_EVENTS, ids=kind_of)
    def test_export_round_trip(self, event):
        """An exported event is plain JSON and comes back as it was."""
        exported = json.loads(json.dumps(codec.event_to_dict(event)))

        assert event == codec.event_from_dict(exported)

    @pytest.mark.parametrize("event", EVENTS + BARE_EVENTS, ids=kind_of)
    def test_copies(self, event):
        """An event can be copied and pickled, also one that was made by hand."""
        assert copy.deepcopy(event) == event
        assert pickle.loads(pickle.dumps(event)) == event  # noqa: S301  # our own, from just now

    @given(st.text(), st.text(st.characters(codec="utf-8")), st.integers(), st.none() | st.text())
    def test_any_text(self, name, text, number, tag):
        """Any text and any number survive."""
        event = ev.ActivityScheduled(1, 2, name, text, None, tag, number)

        assert event == codec.decode_event("ActivityScheduled", 1, 2, codec.encode_event(event))

    def test_fields_of_the_future_are_ignored(self):
        """A field that this release does not know is left alone."""
        data = '{"fire_at_ms":5,"zone":"UTC"}'

        assert ev.TimerCreated(1, 2, 5) == codec.decode_event("TimerCreated", 1, 2, data)

    def test_missing_optional_fields_get_defaults(self):
        """Events from before a field existed still read."""
        event = codec.decode_event("ActivityScheduled", 1, 2, '{"name":"a","input":"1"}')

        assert ev.ActivityScheduled(1, 2, "a", "1") == event

    @pytest.mark.parametrize(
        ("type_name", "data", "reason"),
        [
            ("Quantum", "{}", "unknown event type 'Quantum'"),
            ("TimerCreated", "{}", "TimerCreated without 'fire_at_ms'"),
            ("TimerCreated", '{"fire_at_ms":"5"}', "TimerCreated.fire_at_ms cannot be read: expected int, found str"),
            ("TimerCreated", '{"fire_at_ms":true}', "expected int, found bool"),
            ("TimerCreated", '{"fire_at_ms":5', "not JSON"),
            ("TimerCreated", "", "not JSON"),
            ("TimerCreated", "[5]", "not one JSON object"),
            ("TimerCreated", '{"fire_at_ms":5} x', "not one JSON object"),
            ("ActivityFailed", '{"source_event_id":1,"details":5}', "expected dict, found int"),
            (
                "ActivityFailed",
                '{"source_event_id":1,"details":{"category":"new","kind":"Panicked","message":""}}',
                "'new' is not a valid ErrorCategory",
            ),
            ("KeyValuesCleared", "[" * 100_000, "not JSON"),
        ],
    )
    def test_unreadable(self, type_name, data, reason):
        """Damaged data and events of newer releases are UnreadableEvents that say what is wrong."""
        with pytest.raises(codec.UnreadableEvent) as caught:
            codec.decode_event(type_name, 1, 2, data)

        assert reason in str(caught.value)

    @pytest.mark.parametrize("exported", [{}, {"type": 5}, {"type": "TimerCreated"}])
    def test_unreadable_export(self, exported):
        """What is no exported event is an UnreadableEvent."""
        with pytest.raises(codec.UnreadableEvent):
            codec.event_from_dict(exported)


class TestMessages:
    @pytest.mark.parametrize("message", [START, BARE_START])
    def test_start(self, message):
        """A start message comes back from its row."""
        assert codec.message_kind(message) == "StartOrchestration"
        assert message == codec.decode_message(
            "StartOrchestration", message.instance_id, message.execution_id, codec.encode_message(message)
        )

    @pytest.mark.parametrize("execution_id", [None, 3])
    def test_deliver(self, execution_id):
        """A delivered event comes back from its row, without a place in history."""
        message = Deliver("order-1", execution_id, ev.TimerFired(0, 0, 2, 5))

        assert codec.message_kind(message) == "TimerFired"
        assert message == codec.decode_message("TimerFired", "order-1", execution_id, codec.encode_message(message))


class TestDetails:
    def test_round_trip(self):
        """Details come back with their causes."""
        assert DETAILS == codec.decode_details(codec.encode_details(DETAILS))

    def test_only_what_is_set(self):
        """Fields at their default take no space."""
        assert codec.encode_details(ErrorDetails.cancelled("why")) == (
            '{"category":"application","kind":"Cancelled","message":"why"}'
        )

    @pytest.mark.parametrize("count", [codec.MAX_CAUSES, 5000])
    def test_long_chain_of_causes(self, count):
        """A very long chain of causes loses its end, and nothing else."""
        details = DETAILS.cause
        for number in range(count):
            details = evolve(DETAILS, message=str(number), cause=details)

        decoded = codec.decode_details(codec.encode_details(details))

        expected = [link.message for link in details.chain()][: codec.MAX_CAUSES + 1]
        assert expected == [link.message for link in decoded.chain()]
