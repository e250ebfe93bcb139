"""XXX."""

from __future__ import annotations




class Queues(Checks):
    """XXX."""

    def test_enqueue_makes_no_instance(self) -> None:
        """A start message alone brings no instance to life."""
        self.provider.enqueue([start()])

        assert None is self.provider.get_instance_info("a")

    def test_enqueue_keeps_order(self) -> None:
        """Messages are delivered in the order in which they were enqueued."""
        self.provider.enqueue([start(), raised(data="1"), raised(data="2")])
        self.provider.enqueue([raised(data="3")])

        messages = [item.message for item in fetch_one(self.provider).messages]

        assert [start().message, *(raised(data=str(n)).message for n in (1, 2, 3))] == messages

    def test_enqueue_nothing(self) -> None:
        """Enqueueing nothing is allowed."""
        self.provider.enqueue([])

        assert [] == fetch(self.provider)

    def test_enqueue_timer_waits(self) -> None:
        """A message that becomes visible later is not delivered before, and is from then on."""
        must_commit(self.provider, first_turn(messages=(timer("a", 2, NOW + 1000),), timers=(2,)))

        before = fetch(self.provider)
        self.clock.advance(1000)

        assert ([], "a") == (before, fetch_one(self.provider).lock.instance_id)


class Orphans(Checks):
    """XXX."""

    def test_orphans_are_dropped(self, caplog: pytest.LogCaptureFixture) -> None:
        """Messages for nobody are removed with one warning, and keep nobody waiting."""
        with caplog.at_level(logging.WARNING, "duroxide.provider"):
            self.provider.enqueue([raised("ghost"), raised("ghost"), start("b")])
            found = [item.lock.instance_id for item in fetch(self.provider)]

        assert ["b"] == found
        assert ["drop_orphans"] == [record.__dict__["action"] for record in caplog.records]
        assert "ghost" == caplog.records[0].__dict__["instance"]

    def test_orphans_leave_no_lock(self) -> None:
        """Once its orphans are dropped, the id can be started at once."""
        self.provider.enqueue([raised()])
        fetch(self.provider)
        self.provider.enqueue([start()])

        assert 1 == len(fetch_one(self.provider).messages)


class Unreadable(Checks):
    """XXX."""

    def test_unreadable_is_reported(self) -> None:
        """A message that cannot be read is named with the reason, and stays until it is consumed."""
        self.provider = store.open()
        self.provider.enqueue([start()])
        damage(store, self.provider)
        item = fetch_one(self.provider)

        assert () == item.messages
        assert 1 == len(item.unreadable_messages)
        assert "StartOrchestration" in (item.unreadable_reason or "")

    def test_unreadable_can_be_thrown_away(self) -> None:
        """A commit of an instance that does not exist removes messages, and nothing else."""
        self.provider = store.open()
        self.provider.enqueue([start()])
        item = fetch_one(self.provider)
        turn = TurnCommit(
            instance_id="a",
            execution_id=0,
            incarnation=0,
            last_event_id=0,
            lock=item.lock,
            consumed_messages=tuple(message.id for message in item.messages),
        )
        must_commit(self.provider, turn)
        self.clock.advance(LOCK_MS)

        assert ([], None) == (fetch(self.provider), self.provider.get_instance_info("a"))


class NextDue(Checks):
    """XXX."""

    def test_next_due_nothing(self) -> None:
        """With nothing waiting there is nothing to wait for."""
        self.provider.enqueue([start()])

        assert None is self.provider.next_due_ms()

    def test_next_due_earliest(self) -> None:
        """The earliest of all that is not visible yet."""
        self.provider.enqueue([Outgoing(raised(name="x").message, NOW + 900), Outgoing(raised().message, NOW + 400)])

        assert NOW + 400 == self.provider.next_due_ms()

    def test_next_due_lock_of_an_instance(self) -> None:
        """When a lock expires, its messages are due: its owner may be dead."""
        self.provider.enqueue([start()])
        fetch(self.provider)

        assert NOW + LOCK_MS == self.provider.next_due_ms()
