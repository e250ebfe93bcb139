"""The guard: calls that will give another answer in replay, noticed while orchestration code makes them."""

# ruff: noqa: ICN001, PLW0108, TID251, DTZ003, DTZ005, DTZ011, S605, S607, PTH123, PTH208  # the mistakes that the guard is for

from __future__ import annotations

import asyncio
import datetime
import gc
import json
import logging
import os
import random
import secrets
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
import uuid

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest

from duroxide import (
    ActivityContext,
    Failed,
    InvalidInput,
    Orchestration,
    OrchestrationContext,
    Registry,
    Runtime,
    RuntimeOptions,
    SqlProvider,
)
from duroxide._guard import executor_class
from duroxide._guard.watching import WATCHED, _find
from duroxide._rules import RULES
from duroxide.lint.banned import ban_of
from duroxide.testing import NondeterministicCall, Simulator, guard


@attrs.frozen
class Order:
    """Makes its own id up."""

    id: str = attrs.field(factory=lambda: str(uuid.uuid4()))


def in_a_helper() -> float:
    """Read the clock, some calls down."""
    return max(time.time(), 0)


def caught() -> int:
    """Catch what is raised at the call."""
    try:
        time.time()
    except Exception:  # noqa: BLE001  # that is the mistake
        return 1
    return 2


POOL = ThreadPoolExecutor(1)

#: What code calls, and as what the guard knows it.
CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    "now": (lambda: datetime.datetime.now(), "datetime.datetime.now"),
    "now with a zone": (lambda: datetime.datetime.now(datetime.UTC), "datetime.datetime.now"),
    "today": (lambda: datetime.date.today(), "datetime.date.today"),
    "utcnow": (lambda: datetime.datetime.utcnow(), "datetime.datetime.utcnow"),
    "time": (lambda: time.time(), "time.time"),
    "monotonic": (lambda: time.monotonic(), "time.monotonic"),
    "perf_counter": (lambda: time.perf_counter_ns(), "time.perf_counter_ns"),
    "localtime": (lambda: time.localtime(), "time.localtime"),
    "gmtime": (lambda: time.gmtime(), "time.gmtime"),
    "ctime": (lambda: time.ctime(), "time.ctime"),
    "asctime": (lambda: time.asctime(), "time.asctime"),
    "strftime": (lambda: time.strftime("%Y"), "time.strftime"),
    "in a helper": (in_a_helper, "time.time"),
    "as a key": (lambda: sorted([1, 2], key=lambda _: time.time()), "time.time"),
    "caught": (caught, "time.time"),
    "sleep": (lambda: time.sleep(0), "time.sleep"),
    "random": (lambda: random.random(), "random.random"),
    "randint": (lambda: random.randint(1, 6), "random.getrandbits (through random.randint)"),
    "choice": (lambda: random.choice([1, 2]), "random.getrandbits (through random.choice)"),
    "shuffle": (lambda: random.shuffle([1, 2]), "random.getrandbits (through random.shuffle)"),
    "seed": (lambda: random.seed(7), "random.seed"),
    "an unseeded generator": (lambda: random.Random(), "random.seed (through random.__init__)"),
    "SystemRandom": (lambda: random.SystemRandom().random(), "os.urandom (through random.random)"),
    "secrets": (lambda: secrets.token_hex(), "os.urandom (through secrets.token_hex)"),
    "urandom": (lambda: os.urandom(4), "os.urandom"),
    "uuid4": (lambda: uuid.uuid4(), "uuid.uuid4"),
    "uuid1": (lambda: uuid.uuid1(), "uuid.uuid1"),
    "a field's factory": (lambda: Order(), "uuid.uuid4"),
    "environ": (lambda: os.environ["PATH"], "os.environ"),
    "environ.get": (lambda: os.environ.get("PATH"), "os.environ (through collections.abc.get)"),
    "getenv": (lambda: os.getenv("PATH"), "os.getenv"),
    "getpid": (lambda: os.getpid(), "os.getpid"),
    "cwd": (lambda: Path.cwd(), "os.getcwd (through pathlib.cwd)"),
    "gethostname": (lambda: socket.gethostname(), "socket.gethostname"),
    "open": (lambda: open(os.devnull).close(), "builtins.open"),
    "read_text": (lambda: Path(os.devnull).read_text(encoding="utf-8"), "builtins.open (through pathlib.read_text)"),
    "exists": (lambda: Path("nothing").exists(), "os.stat (through pathlib.exists)"),
    "listdir": (lambda: os.listdir(), "os.listdir"),
    "os.open": (lambda: os.close(os.open(os.devnull, os.O_RDONLY)), "os.open"),
    "a socket": (lambda: socket.socket().close(), "socket.socket"),
    "sqlite3": (lambda: sqlite3.connect(":memory:").close(), "sqlite3.connect"),
    "a process": (lambda: subprocess.run(["true"], check=False), "subprocess.Popen (through subprocess.run)"),
    "system": (lambda: os.system("true"), "os.system"),
    "a thread": (lambda: threading.Thread(target=int).start(), "threading.Thread.start"),
    "a pool": (lambda: ThreadPoolExecutor(1), "concurrent.futures.ThreadPoolExecutor"),
    "a shared pool": (lambda: POOL.submit(int), "concurrent.futures.ThreadPoolExecutor.submit"),
    "a web service": (lambda: urllib.request.urlopen("http://127.0.0.1:9"), "urllib.request.urlopen"),
    "asyncio": (lambda: asyncio.run(asyncio.sleep(0)), "asyncio.run"),
}


def orchestration_of(call: Callable[[], Any]) -> Callable[..., Any]:
    """Return an orchestration that makes *call* between two steps."""

    def calls(ctx: OrchestrationContext) -> Orchestration[str]:
        yield from ctx.schedule_timer(0)
        call()
        yield from ctx.schedule_timer(0)
        return "done"

    return calls


def run(orchestration: Callable[..., Any], argument: object = None, **options: Any) -> Any:
    """Run *orchestration* in a runtime, and return how it ended."""
    registry = Registry()
    registry.register_orchestration(orchestration, name="it")
    with (
        SqlProvider.in_memory() as provider,
        Runtime(provider, registry, RuntimeOptions(**options)) as runtime,
    ):
        runtime.client.start_orchestration("i", "it", argument)
        return runtime.client.wait_for_orchestration("i")


class TestCalls:
    @pytest.mark.filterwarnings("ignore:coroutine 'sleep' was never awaited")
    @pytest.mark.parametrize("name", CALLS)
    def test_raises(self, name: str) -> None:
        """The orchestration fails at the call, whatever it catches, with the call and the line of code in the error."""
        call, known_as = CALLS[name]
        status = run(orchestration_of(call), guard="raise")

        assert isinstance(status, Failed)
        assert "duroxide.errors.NondeterministicCall" == status.details.type
        assert f"orchestration 'it' calls {known_as} at {__file__}:" in status.message
        if name == "asyncio":
            gc.collect()  # the coroutine that was never awaited says so here, and not in another test

    @pytest.mark.parametrize("code", sorted(WATCHED))
    def test_remedy(self, code: str) -> None:
        """What is wrong with a call, and what to write instead, is said in the words of the linter's rule."""
        name = {"DX101": "time", "DX102": "random", "DX103": "uuid4", "DX104": "getpid", "DX105": "open"}.get(code)
        name = name or {"DX106": "sleep", "DX107": "a thread"}[code]
        status = run(orchestration_of(CALLS[name][0]), guard="raise")

        assert f": {RULES[code].reason}; {RULES[code].remedy}." in status.message

    def test_line(self) -> None:
        """The line is that of the user's code, not of the library that it called."""
        status = run(orchestration_of(in_a_helper), guard="raise")

        assert f"{__file__}:{in_a_helper.__code__.co_firstlineno + 2} in in_a_helper: " in status.message
        assert "in_a_helper" in status.details.traceback

    def test_input(self) -> None:
        """A field of the input that makes itself up is found, although it is the engine that decodes it."""

        def orders(ctx: OrchestrationContext, order: Order) -> Orchestration[str]:
            yield from ctx.schedule_timer(0)
            return order.id

        status = run(orders, {}, guard="raise")

        assert "uuid.uuid4" in status.message

    def test_in_a_finally(self) -> None:
        """A branch that loses a race is still orchestration code while it is closed."""

        def slow(ctx: OrchestrationContext) -> Orchestration[None]:
            try:
                yield from ctx.schedule_timer(60)
            finally:
                time.time()

        def races(ctx: OrchestrationContext) -> Orchestration[int]:
            return (yield from ctx.select(ctx.schedule_timer(0), slow(ctx))).index

        assert "time.time" in run(races, guard="raise").message

    def test_without_yield(self) -> None:
        """A function that yields nothing is watched, too."""

        def plain(ctx: OrchestrationContext) -> float:
            return time.time()

        assert "time.time" in run(plain, guard="raise").message

    def test_every_name_exists(self) -> None:
        """What is watched is in this Python, but for what later ones or other systems have."""
        elsewhere = {"uuid.uuid6", "uuid.uuid7"}
        missing = {name for names in WATCHED.values() for name in names if _find(name) is None}

        assert set() == missing - elsewhere - ({"os.fork", "os.uname", "os.getrandom"} if os.name == "nt" else set())

    def test_agrees_with_the_linter(self) -> None:
        """Whatever is watched is also what the linter bans, by the same rule."""
        for code, names in WATCHED.items():
            for name in names:
                ban = ban_of(name.partition(".__")[0])
                assert ban is not None, name
                assert code == ban.code, name


class TestWhatIsFine:
    @pytest.fixture(autouse=True)
    def guarded(self) -> Any:
        """Every test here is guarded."""
        with guard():
            yield

    def test_context(self) -> None:
        """What the context offers instead is no mistake: time, ids, random numbers, logs, key-values."""

        def proper(ctx: OrchestrationContext) -> Orchestration[str]:
            ctx.random.shuffle([ctx.random.randint(1, 6), ctx.random.random()])
            random.Random(ctx.random.getrandbits(32)).random()
            ctx.logger.warning("at %s: %s", ctx.utc_now(), ctx.new_guid())
            ctx.set_kv_value("when", ctx.utc_now().astimezone(ZoneInfo("Europe/Rome")))
            yield from ctx.join(ctx.schedule_timer(0), ctx.schedule_timer(0))
            return json.dumps({"it": "is fine"})

        status = run(proper)

        assert not isinstance(status, Failed), status

    def test_given_time(self) -> None:
        """Functions that read the clock only if they are given no time may be given one."""

        def formats(ctx: OrchestrationContext) -> Orchestration[str]:
            yield from ctx.schedule_timer(0)
            moment = time.gmtime(ctx.utc_now().timestamp())
            return time.strftime("%Y", moment) + time.asctime(moment) + time.ctime(*[0])

        status = run(formats)

        assert not isinstance(status, Failed), status

    def test_logging(self) -> None:
        """A handler of the user's own may look at the clock: it is not the orchestration that does."""

        class Handler(logging.Handler):
            seen: list[float] = []  # noqa: RUF012  # one for the test

            def emit(self, record: logging.LogRecord) -> None:
                self.seen.append(time.time())

        def logs(ctx: OrchestrationContext) -> Orchestration[str]:
            ctx.logger.error("look")
            yield from ctx.schedule_timer(0)
            return "done"

        handler = Handler()
        logging.getLogger("duroxide.orchestrations").addHandler(handler)
        try:
            status = run(logs)
        finally:
            logging.getLogger("duroxide.orchestrations").removeHandler(handler)

        assert not isinstance(status, Failed), status
        assert 1 == len(Handler.seen)

    def test_imports(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Importing reads files, and what a module does meanwhile is no step of the orchestration."""
        (tmp_path / "late_import.py").write_text("import time\nSTARTED = time.time()\n", encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))

        def imports(ctx: OrchestrationContext) -> Orchestration[str]:
            yield from ctx.schedule_timer(0)
            import late_import  # type: ignore[import-not-found]  # made above

            return str(late_import.__name__)

        status = run(imports)

        assert not isinstance(status, Failed), status

    def test_garbage(self) -> None:
        """What is run because the garbage collector happens to come by is not asked for by the code."""

        class Ring:
            def __init__(self) -> None:
                self.me = self

            def __del__(self) -> None:
                time.time()

        def litters(ctx: OrchestrationContext) -> Orchestration[str]:
            yield from ctx.schedule_timer(0)
            Ring()
            gc.collect()
            return "done"

        watch = lambda phase, info: time.time()  # noqa: E731  # as libraries do that measure the collector
        gc.callbacks.append(watch)
        try:
            status = run(litters)
        finally:
            gc.callbacks.remove(watch)

        assert not isinstance(status, Failed), status

    def test_activities(self) -> None:
        """Activities may do what they like, in the simulator even in the thread that runs turns."""
        registry = Registry()

        @registry.activity
        def works(ctx: ActivityContext) -> float:
            return time.time() + random.random()

        @registry.orchestration
        def asks(ctx: OrchestrationContext) -> Orchestration[float]:
            return (yield from ctx.schedule_activity(works))

        with Simulator(registry) as simulator:
            simulator.start("i", asks)
            simulator.run()

            assert simulator.result("i") > 0

    def test_assertions(self) -> None:
        """A failed assertion is explained by pytest, which looks at the environment to do so."""

        def asserts(ctx: OrchestrationContext) -> Orchestration[None]:
            amount = yield from ctx.schedule_timer(0)
            assert [amount] == [1, 2, 3]

        assert "AssertionError" == run(asserts).details.type

    def test_failures(self) -> None:
        """The traceback of a failure is made from source lines, which are read from files."""

        def fails(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_timer(0)
            raise ValueError("no")

        assert "ValueError" == run(fails).details.type


class TestModes:
    def test_off(self) -> None:
        """By default nothing is watched: the executor is the plain one, and its thread is not profiled."""
        from duroxide import Executor

        seen = []

        def looks(ctx: OrchestrationContext) -> Orchestration[None]:
            seen.append(sys.getprofile())
            yield from ctx.schedule_timer(0)
            time.time()

        assert Executor is executor_class("off")
        assert not isinstance(run(looks), Failed)
        assert {None} == set(seen)

    def test_only_while_code_runs(self) -> None:
        """The thread is watched while orchestration code runs, and not afterwards."""
        registry = Registry()
        seen = []

        @registry.activity
        def looks(ctx: ActivityContext) -> None:
            seen.append(("activity", sys.getprofile() is not None))

        @registry.orchestration
        def asks(ctx: OrchestrationContext) -> Orchestration[None]:
            seen.append(("orchestration", sys.getprofile() is not None))
            yield from ctx.schedule_activity(looks)

        with guard(), Simulator(registry, check_replays=False) as simulator:
            simulator.start("i", asks)
            simulator.run()

        assert [("orchestration", True), ("activity", False)] == seen
        assert sys.getprofile() is None

    def test_another_profiler(self) -> None:
        """A thread that is being profiled is left to its profiler."""
        from duroxide import run_turn  # noqa: F401  # the engine is loaded

        seen = []
        registry = Registry()

        @registry.orchestration
        def reads(ctx: OrchestrationContext) -> Orchestration[float]:
            yield from ctx.schedule_timer(0)
            return time.time()

        profiler = lambda frame, event, argument: seen.append(event)  # noqa: E731
        with guard(), Simulator(registry, check_replays=False) as simulator:
            simulator.start("i", reads)
            sys.setprofile(profiler)
            try:
                simulator.run()
            finally:
                sys.setprofile(None)

            assert simulator.result("i") > 0
        assert seen

    def test_warn(self, caplog: pytest.LogCaptureFixture) -> None:
        """As a warning, it is logged once for each line of code, and the orchestration goes on."""

        def reads(ctx: OrchestrationContext) -> Orchestration[str]:
            for _ in range(3):
                time.time()
                yield from ctx.schedule_timer(0)
            return f"at {time.time()}"

        with caplog.at_level("WARNING", "duroxide.guard"):
            status = run(reads, guard="warn")
            run(reads, guard="warn")

        assert not isinstance(status, Failed)
        records = [record for record in caplog.records if record.name == "duroxide.guard"]
        assert [("nondeterministic_call", "i")] * 2 == [(r.action, r.instance_id) for r in records]  # type: ignore[attr-defined]
        assert ["time.time"] * 2 == [record.getMessage().split()[3] for record in records]

    def test_option(self) -> None:
        """Another mode is refused, with those that there are."""
        with pytest.raises(InvalidInput, match=r"RuntimeOptions.guard is 'loud': use one of off, warn, raise"):
            RuntimeOptions(guard="loud")  # type: ignore[arg-type]  # that is the mistake
        with pytest.raises(InvalidInput, match='mode is \'loud\': use "raise" or "warn"'):
            guard("loud")  # type: ignore[arg-type]  # that is the mistake

    def test_switching_on(self) -> None:
        """`guard` holds for what begins meanwhile, and gives way to an option that says otherwise."""
        call = orchestration_of(time.time)

        with guard():
            assert isinstance(run(call), Failed)
            assert not isinstance(run(call, guard="warn"), Failed)
        assert not isinstance(run(call), Failed)

    def test_switching_on_within(self) -> None:
        """The innermost `guard` counts, and when it ends, the one around it does again."""
        call = orchestration_of(time.time)

        with guard(), guard("warn"):
            with guard():
                assert isinstance(run(call), Failed)
            assert not isinstance(run(call), Failed)

    def test_every_thread_for_itself(self) -> None:
        """Other threads of the process may call what they like meanwhile."""
        stop, calls = threading.Event(), []

        def reads() -> None:
            while not stop.is_set():
                calls.append(time.time())

        def waits(ctx: OrchestrationContext) -> Orchestration[str]:
            yield from ctx.schedule_timer(0)
            while not calls:
                stop.wait(0.001)
            return "done"

        thread = threading.Thread(target=reads)
        thread.start()
        try:
            status = run(waits, guard="raise")
        finally:
            stop.set()
            thread.join()

        assert not isinstance(status, Failed), status

    def test_installed_code(self, tmp_path: Path) -> None:
        """Orchestrations that are installed as a package are watched like others: in a process of its own."""
        import sysconfig

        code = textwrap.dedent(
            """
            import sys, sysconfig, types
            from duroxide import Registry
            from duroxide.testing import Simulator, guard
            path = sysconfig.get_path("purelib") + "/shop/flows.py"
            source = "import time" + chr(10) + "def flow(ctx):" + chr(10) + "    yield ctx.schedule_timer(time.time())"
            module = types.ModuleType("shop.flows")
            exec(compile(source, path, "exec"), module.__dict__)
            registry = Registry()
            registry.register_orchestration(module.flow)
            with guard(), Simulator(registry) as simulator:
                simulator.start("i", "flow")
                simulator.run()
                print(simulator.status("i").message)
            """
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)

        path = f"{sysconfig.get_path('purelib')}/shop/flows.py"
        assert f"calls time.time at {path}:3 in flow: " in done.stdout, done.stderr

    def test_error(self) -> None:
        """The error is one of orchestration code that broke a rule."""
        from duroxide import OrchestrationMisuse

        assert issubclass(NondeterministicCall, OrchestrationMisuse)
