"""Processes that run the programs, and may be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from collections import Counter
from pathlib import Path

import duroxide

from duroxide._clock import monotonic

from ..patience import PATIENCE


PROGRAM = Path(__file__).parent / "worker.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(str(duroxide.__file__)).parent.parent)}


class Worker:
    """
    One process of the worker program, which has begun to load.

    Args:
        log: The file that its log goes to.

        options: Of the program, as on the command line.
    """

    def __init__(self, url: str, log: Path, *options: str) -> None:
        self._path = log
        self._said: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._has_ended = False
        with log.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, str(PROGRAM), url, *options],
                env=ENVIRONMENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    def running(cls, url: str, log: Path, *options: str) -> Worker:
        """Return a process that works already."""
        worker = cls(url, log, *options)
        worker.go()
        worker.wait_for("ready")
        return worker

    @property
    def said(self) -> Counter[str]:
        """How often it has said each line so far."""
        with self._changed:
            return self._said.copy()

    @property
    def exit_status(self) -> int | None:
        """How it ended; None while it goes on."""
        return self._process.poll()

    def go(self) -> None:
        """Let it open the database."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def wait_for(self, line: str, count: int = 1) -> None:
        """Wait until it has said *line* so many times in all: ``loaded``, ``ready``, ``begun``."""
        deadline = monotonic() + PATIENCE
        with self._changed:
            self._changed.wait_for(lambda: self._has_ended or self._said[line] >= count, deadline - monotonic())
            assert self._said[line] >= count, f"it ended or hung: {self._said}\n{self.log()}"

    def wait_for_end(self) -> int:
        """Wait until it has ended by itself; return its exit status."""
        status = self._process.wait(PATIENCE)
        self._end()
        return status

    def kill(self) -> None:
        """End it without a chance to do anything about it."""
        self._process.kill()
        self._end()

    def end(self) -> int:
        """Let it end, soon; return its exit status."""
        self._end()
        return self._process.returncode

    def stop(self) -> None:
        """Let it end, as it should."""
        assert self.end() == 0, self.log()

    def log(self) -> str:
        """Return what it logged."""
        return self._path.read_text()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._said[line.strip()] += 1
                self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _end(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:  # it is dead, and did not read all that was written
            self._process.stdin = None
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
