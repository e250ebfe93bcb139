"""Registries: names, versions, policies, and mistakes that raise where they are made."""

from __future__ import annotations

import textwrap

import pytest

from duroxide._core.functions import registered_name
from duroxide._core.registry import Exact, Latest, Registry
from duroxide.errors import InvalidInput, RegistrationError


def charge(ctx, order): ...


def flow(ctx):
    yield


def other_flow(ctx):
    yield


def versions(*texts):
    registry = Registry()
    for text in texts:
        registry.register_orchestration(lambda ctx: 1, name="flow", version=text)
    return registry


class TestRegistering:
    def test_decorators(self):
        """Decorators, bare and with arguments, return the function itself."""
        registry = Registry()

        assert registry.activity(charge) is charge
        assert registry.activity(name="Charge")(charge) is charge
        assert registry.orchestration(flow) is flow
        assert registry.orchestration(name="Flow", version="2.0.0")(flow) is flow
        assert registry.activities.list_names() == ["Charge", "charge"]
        assert registry.orchestrations.list_names() == ["Flow", "flow"]
        assert repr(registry) == "<duroxide.Registry(2 orchestrations, 2 activities, 0 exceptions)>"

    def test_calls(self):
        """Functions are registered by call as well, and go by that name."""
        registry = Registry()
        registry.register_activity(charge, name="CHARGE")
        registry.register_orchestration(flow, version="1.2.0")

        assert registry.activities.resolve("CHARGE").fn is charge
        assert registered_name(charge, "activity") == "CHARGE"
        assert registry.orchestrations.resolve("flow") == ("1.2.0", registry.orchestrations.resolve("flow")[1])

    def test_names_of_elsewhere(self):
        """A name in an annotation means what it means where the function was written, not where it is registered."""
        elsewhere = {}
        source = """
            class Order: ...
            def charge(ctx, order: "Order", note: "str" = "") -> "Order | Receipt": ...
            def make():
                def charge_later(ctx, order: "Order"): ...
                return charge_later
        """
        exec(textwrap.dedent(source), elsewhere)  # noqa: S102  # another module
        registry = Registry()

        class Order: ...

        class Receipt: ...

        registry.register_activity(elsewhere["charge"])
        registry.activity(name="later")(elsewhere["make"]())
        infos = [registry.activities.resolve(name) for name in ("charge", "later")]

        assert [info.input_type for info in infos] == [elsewhere["Order"]] * 2
        assert infos[0].result_type == elsewhere["Order"] | Receipt

        @registry.activity
        def here(ctx, order: Order): ...

        assert registry.activities.resolve("here").input_type is Order

    def test_local_types(self):
        """Types that are local to where the decorator is used are found, however it is used."""
        registry = Registry()

        class Local:
            pass

        @registry.activity
        def one(ctx, value: Local): ...

        @registry.activity(name="two")
        def another(ctx, value: Local): ...

        registry.register_orchestration(lambda ctx: 1, name="x")

        assert registry.activities.resolve("one").input_type is Local
        assert registry.activities.resolve("two").input_type is Local

    @pytest.mark.parametrize(
        ("register", "reason"),
        [
            (lambda r: r.activity(charge), "duplicate activity registration: 'charge' is"),
            (lambda r: r.orchestration(flow), "duplicate orchestration registration: 'flow' 1.0.0 is"),
            (lambda r: r.activity(name="__duroxide_x")(charge), "reserved for the library"),
            (lambda r: r.orchestration(name="__duroxide")(flow), "reserved for the library"),
            (lambda r: r.orchestration(name="")(flow), "orchestration name is empty"),
            (lambda r: r.activity(name="a\0")(charge), "NUL"),
            (lambda r: r.orchestration(name="x", version="one")(flow), "'one' is not a version"),
            (lambda r: r.activity("Charge"), "@registry.activity(name='...')"),
            (lambda r: r.orchestration("Flow"), "@registry.orchestration(name='...')"),
            (lambda r: r.register_activity(lambda ctx: 1), "has no name of its own"),
        ],
    )
    def test_mistakes(self, register, reason):
        """A mistake raises where it is made, and changes nothing."""
        registry = Registry()
        registry.activity(charge)
        registry.orchestration(flow)

        with pytest.raises(RegistrationError) as caught:
            register(registry)

        assert reason in str(caught.value)
        assert (1, 1) == (registry.activities.count(), registry.orchestrations.count())

    def test_conflicts_name_both(self):
        """A conflict names both functions."""
        registry = Registry()
        registry.orchestration(flow)

        with pytest.raises(RegistrationError, match=r"\.flow \(.*already.*\.other_flow \("):
            registry.orchestration(name="flow")(other_flow)


class TestVersions:
    def test_any_order(self):
        """Versions come in any order and are listed ascending."""
        registry = versions("2.0.0", "1.0.0", "10.0.0", "2.0.0-rc.1")

        assert ["1.0.0", "2.0.0-rc.1", "2.0.0", "10.0.0"] == registry.orchestrations.list_versions("flow")
        assert registry.orchestrations.count() == 4

    def test_policies(self):
        """Latest is the default, Exact pins, back to Latest unpins; a missing version resolves to nothing."""
        orchestrations = versions("1.0.0", "2.0.0").orchestrations
        assert orchestrations.resolve("flow")[0] == "2.0.0"

        orchestrations.set_policy("flow", Exact("1.0.0"))
        assert orchestrations.resolve("flow")[0] == "1.0.0"
        assert orchestrations.resolve("flow", "2.0.0")[0] == "2.0.0"

        orchestrations.set_policy("flow", Exact("3.0.0"))
        assert orchestrations.resolve("flow") is None

        orchestrations.set_policy("flow", Latest())
        assert orchestrations.resolve("flow")[0] == "2.0.0"

    def test_copies_share_policies(self):
        """A copy follows policy changes, but grows by itself."""
        registry = versions("1.0.0", "2.0.0")
        copy = registry.copy()
        registry.orchestrations.set_policy("flow", Exact("1.0.0"))
        copy.register_orchestration(other_flow)

        assert copy.orchestrations.resolve("flow")[0] == "1.0.0"
        assert not registry.orchestrations.has("other_flow")

    def test_mistaken_policies(self):
        """A policy that is none is refused."""
        with pytest.raises(InvalidInput):
            Exact("one")
        with pytest.raises(InvalidInput, match=r"give Latest\(\) or Exact"):
            versions("1.0.0").orchestrations.set_policy("flow", "1.0.0")

    def test_empty(self):
        """An empty registry resolves nothing."""
        registry = Registry()

        assert registry.orchestrations.resolve("flow") is None
        assert registry.activities.resolve("charge") is None
        assert (0, 0) == (registry.orchestrations.count(), registry.activities.count())
        assert registry.orchestrations.list_versions("flow") == []
        assert not registry.activities.has("charge")


class TestMerging:
    def test_union(self):
        """A merge is the union; the others stay as they are."""
        one, two = Registry(), Registry()
        one.activity(charge)
        two.activity(charge)
        two.orchestration(flow)
        two.orchestrations.set_policy("flow", Exact("1.0.0"))
        two.exception(KeyError)

        assert one.merge(two) is one
        assert one.orchestrations.has("flow", "1.0.0")
        assert (1, 1, ["KeyError"]) == (one.activities.count(), one.orchestrations.count(), list(one.exceptions))
        assert two.orchestrations.count() == 1

    def test_conflict_changes_nothing(self):
        """After a refused merge nothing has been added."""
        one, two = Registry(), Registry()
        one.orchestration(flow)
        two.activity(charge)
        two.orchestration(name="flow")(other_flow)

        with pytest.raises(RegistrationError, match="duplicate orchestration registration"):
            one.merge(two)

        assert one.activities.count() == 0


class TestExceptions:
    def test_registered(self):
        """Exception classes are known by the name that history records."""
        registry = Registry()

        @registry.exception
        class OutOfStockError(Exception):
            pass

        registry.exception(OutOfStockError)

        assert dict(registry.exceptions) == {f"{__name__}.{OutOfStockError.__qualname__}": OutOfStockError}

    @pytest.mark.parametrize("cls", [int, ValueError(), "ValueError", KeyboardInterrupt])
    def test_refused(self, cls):
        """What is no exception class is refused."""
        with pytest.raises(RegistrationError, match="is not an exception class"):
            Registry().exception(cls)

    @pytest.mark.parametrize("base", [ExceptionGroup, StopIteration, StopAsyncIteration])
    def test_never_raised(self, base):
        """What could not be raised at a yield is refused as well."""
        with pytest.raises(RegistrationError, match="cannot come back as itself"):
            Registry().exception(type("Own", (base,), {}))
