"""
How the guard notices that orchestration code calls what will give another answer in replay.

While the code of an execution runs, and only then, its thread has a profile function that is told of every call: also
of those into C, which cannot be replaced (`datetime.now`). Other threads, activities and the engine are not looked at.

Rule: what counts is on whose behalf a call is made. What the engine, a logger or an import does for itself is fine.

A thread that is being profiled by somebody else already is left alone: it has one profile function.
"""

from __future__ import annotations

import dis
import gc
import importlib
import logging
import os
import random
import sys
import sysconfig

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from types import CodeType, FrameType, FunctionType, MappingProxyType
from typing import Any

from .._core import events as e
from .._core import executor, scheduler
from .._core.executor import Executor
from .._core.replay import Replay
from .._core.verdicts import Failed, Turn
from .._nouns import frozen
from .._rules import RULES
from ..errors import ErrorDetails, ErrorKind, NondeterministicCall


_log = logging.getLogger("duroxide.guard")

#: What is watched, by the rule that it breaks: functions of Python and of C, and methods.
WATCHED: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "DX101": (
            *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
            *("time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter"),
            *("time.perf_counter_ns", "time.process_time", "time.process_time_ns", "time.thread_time"),
            *("time.thread_time_ns", "time.clock_gettime", "time.clock_gettime_ns"),
            *("time.localtime", "time.gmtime", "time.ctime", "time.asctime", "time.strftime"),
        ),
        "DX102": ("random.random", "random.getrandbits", "os.urandom", "os.getrandom"),
        "DX103": ("uuid.uuid1", "uuid.uuid4", "uuid.uuid6", "uuid.uuid7", "uuid.getnode"),
        "DX104": (
            *("os.environ.__getitem__", "os.environ.__iter__", "os.environ.__setitem__", "os.getenv", "os.getpid"),
            *("os.getcwd", "os.getlogin", "os.cpu_count", "os.uname", "socket.gethostname"),
        ),
        "DX105": (
            *("builtins.open", "builtins.input", "os.open", "os.stat", "os.listdir", "os.scandir", "os.mkdir"),
            *("os.remove", "os.unlink", "os.rmdir", "os.rename", "os.replace", "os.system", "sqlite3.connect"),
            *("urllib.request.urlopen", "http.client.HTTPConnection.connect"),
            *("socket.socket.__init__", "socket.create_connection", "socket.getaddrinfo", "subprocess.Popen.__init__"),
        ),
        "DX106": ("time.sleep",),
        "DX107": (
            *("threading.Thread.start", "_thread.start_new_thread", "os.fork", "asyncio.run", "asyncio.new_event_loop"),
            *("concurrent.futures.ThreadPoolExecutor.__init__", "concurrent.futures.ThreadPoolExecutor.submit"),
            *("concurrent.futures.ProcessPoolExecutor.__init__", "concurrent.futures.ProcessPoolExecutor.submit"),
            "multiprocessing.Process.start",
        ),
    }
)

#: These read the clock unless they are given a time, as the last of so many arguments.
_WITH_TIME = {"time.localtime": 1, "time.gmtime": 1, "time.ctime": 1, "time.asctime": 1, "time.strftime": 2}

#: Reads files, the clock or the environment on its own account: to import, to show source lines, to stamp a record, for
#: a time zone, to explain a failed assertion.
_TRUSTED = frozenset({"_pytest", "dateutil", "importlib", "linecache", "logging", "pytz", "zoneinfo"})

#: A module that is imported, and an object that is thrown away.
_NOT_ASKED_FOR = frozenset({"<module>", "__del__"})

_PACKAGE = __name__.partition(".")[0]
_OURS = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120  # compared with the names in code objects, which are text
#: The engine, with the methods that attrs has written for it.
_NOT_THEIRS = (
    f"{_OURS}{os.sep}",
    f"<attrs generated methods {_PACKAGE}.",
    f"<attrs generated init {_PACKAGE}.",
)
_LIBRARIES = (
    "<frozen ",
    *{f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib", "purelib", "platlib")},
)
#: What is called from here is orchestration code, wherever it is installed.
_ENTRANCES = frozenset(
    {
        scheduler.Scheduler._step.__code__,  # noqa: SLF001  # the functions at whose call the user's code begins
        executor._calling.__code__,  # noqa: SLF001  # likewise
        scheduler.Scheduler._close_generator.__code__,  # noqa: SLF001  # likewise
        scheduler.Scheduler._close_everything.__code__,  # noqa: SLF001  # likewise
    }
)


#: Beyond this nothing belongs to orchestration code any more.
_FEED = Replay.absorb.__code__

#: Random numbers of one's own are fine, as long as the seed is one's own, too.
_SEED = random.Random.seed.__code__


@frozen
class Site:
    """Where orchestration code makes a call: a source line, and the function that it calls there."""

    place: str
    #: What the call comes down to, with the function that the code itself called, if that is another one.
    what: str


@frozen
class _Watched:
    """One function that is watched."""

    name: str
    code: str


@cache
def _watched() -> tuple[Mapping[object, _Watched], Mapping[CodeType, _Watched]]:
    """Return what is watched: functions of C, and the code of functions of Python."""
    builtin: dict[object, _Watched] = {}
    python: dict[CodeType, _Watched] = {_SEED: _Watched("random.seed", "DX102")}
    for rule, names in WATCHED.items():
        for name in names:
            function = _find(name)
            function = getattr(function, "__func__", function)
            if isinstance(function, FunctionType):
                python[function.__code__] = _Watched(name, rule)
            elif function is not None:
                builtin[function] = _Watched(name, rule)
    return builtin, python


def _find(name: str) -> Any:
    """Return the object called *name*; None if this Python has none."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            found = getattr(found, part, None)
        return found
    return None


def _is_seeded(frame: FrameType) -> bool:
    """Whether this call of `random.Random.seed` seeds a generator of its caller's own with a value."""
    shared = getattr(_find("random.random"), "__self__", None)
    return frame.f_locals.get("a") is not None and frame.f_locals.get("self") is not shared


def _is_given_time(frame: FrameType, watched: _Watched) -> bool:
    """Whether the function of C that *frame* calls may be given a time, and so does not read the clock."""
    enough = _WITH_TIME.get(watched.name)
    if enough is None:
        return False
    # A profile function is not told of arguments. Of a call with *arguments the code does not say how many there are.
    code, at = frame.f_code.co_code, frame.f_lasti
    return dis.opname[code[at]] != "CALL" or code[at + 1] >= enough


def _site(frame: FrameType, watched: _Watched) -> Site | None:
    """Return the line of orchestration code on whose behalf *frame* makes a call; None: it is nobody's."""
    site: Site | None = None
    callee: FrameType | None = None
    outer: FrameType | None = frame
    while outer is not None and outer.f_code is not _FEED:
        code = outer.f_code
        if _is_on_its_own_account(outer):
            return None
        if code in _ENTRANCES:
            return site if site is not None or callee is None else _named(callee, None, watched)
        if site is None and code.co_filename.startswith(_NOT_THEIRS):
            return None
        if site is None and not code.co_filename.startswith(_LIBRARIES):
            site = _named(outer, callee, watched)
        callee, outer = outer, outer.f_back
    return site


def _is_on_its_own_account(frame: FrameType) -> bool:
    """Whether *frame* does what the code around it did not ask for: imports, logs, or is run by the garbage collector."""
    code = frame.f_code
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    if package in _TRUSTED or code.co_name in _NOT_ASKED_FOR:
        return True
    return any(getattr(callback, "__code__", None) is code for callback in gc.callbacks)


def _named(user: FrameType, callee: FrameType | None, watched: _Watched) -> Site:
    code = user.f_code
    what = watched.name.partition(".__")[0]
    if callee is not None:
        module = str(callee.f_globals.get("__name__")).partition("._")[0]
        through = f"{module}.{callee.f_code.co_name}"
        what = what if through == what else f"{what} (through {through})"
    return Site(f"{code.co_filename}:{user.f_lineno} in {code.co_name}", what)


class _Guarded(Executor):
    """An executor whose code is watched."""

    #: The first call that was noticed. It decides, whatever code did about it.
    _violation: NondeterministicCall | None = None

    def absorb(self, events: Sequence[e.Event], *, persisted: int = 0) -> None:
        """Apply *events*, which runs the code; see `Replay.absorb`."""
        with self._watch():
            super().absorb(events, persisted=persisted)

    def decide(self) -> Turn:
        """Return what the code decides. A call that raised is the verdict from then on."""
        turn = super().decide()
        if self._violation is None:
            return turn
        details = ErrorDetails.from_exception(self._violation, kind=ErrorKind.PANICKED)
        return Turn(Failed(details), left_open=tuple(self.ledger.wanted()))

    @contextmanager
    def _watch(self) -> Iterator[None]:
        if sys.getprofile() is not None:
            yield
            return
        builtin, python = _watched()

        def profile(frame: FrameType, event: str, function: object) -> None:
            if event == "c_call":
                watched = builtin.get(function)
            elif event == "call":
                watched = python.get(frame.f_code)
            else:
                return
            if watched is not None:
                self._look(frame, event, watched)

        sys.setprofile(profile)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _look(self, frame: FrameType, event: str, watched: _Watched) -> None:
        """Find out whether a call of something that is watched is one of orchestration code, and say so."""
        if frame.f_code is _SEED and event == "call" and _is_seeded(frame):
            return
        if event == "c_call" and _is_given_time(frame, watched):
            return
        caller = frame if event == "c_call" else frame.f_back
        site = None if caller is None else _site(caller, watched)
        if site is not None:
            self._found(site, watched)

    def _found(self, site: Site, watched: _Watched) -> None:
        raise NotImplementedError


class _Raising(_Guarded):
    def _found(self, site: Site, watched: _Watched) -> None:
        self._violation = self._violation or NondeterministicCall(_text(self.started, site, watched))
        raise self._violation


class _Warning(_Guarded):
    def _found(self, site: Site, watched: _Watched) -> None:
        if site not in _warned:
            _warned.add(site)
            _log.warning(
                "%s",
                _text(self.started, site, watched),
                extra={"action": "nondeterministic_call", "instance_id": self.started.instance_id},
            )


#: Lines of code that were warned of: as many as there are such lines.
_warned: set[Site] = set()


def _text(started: e.OrchestrationStarted, site: Site, watched: _Watched) -> str:
    rule = RULES[watched.code]
    return f"orchestration {started.name!r} calls {site.what} at {site.place}: {rule.reason}; {rule.remedy}."


#: By what they do about such calls.
GUARDED: Mapping[str, type[Executor]] = MappingProxyType({"warn": _Warning, "raise": _Raising})
