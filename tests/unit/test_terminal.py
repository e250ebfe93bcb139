"""What all commands do alike: whoever reads them may stop, and their numbers are numbers."""

from __future__ import annotations

import os
import sys

from argparse import ArgumentTypeError

import pytest

from duroxide._terminal import PIPE_CLOSED, count, positive, say
from duroxide.cli.main import main


class TestSay:
    @pytest.mark.skipif(os.name == "nt", reason="Windows reports a pipe without a reader otherwise")
    def test_nobody_reads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A command whose output goes to ``| head`` ends quietly when that has enough, also at the exit."""
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "w", encoding="utf-8") as output:  # noqa: PTH123  # a descriptor
            monkeypatch.setattr(sys, "stdout", output)
            with pytest.raises(SystemExit) as ended:
                say("the first of many lines")

        assert PIPE_CLOSED == ended.value.code

    def test_no_output(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process without an output (a service, ``>&-``) says nothing, and goes on."""
        monkeypatch.setattr(sys, "stdout", None)

        say("nobody is there")

    def test_letters_that_the_terminal_has_not(
        self, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
    ) -> None:
        """What a terminal cannot show becomes a question mark."""
        with open(os.dup(1), "w", encoding="ascii") as output:  # noqa: PTH123  # a descriptor
            monkeypatch.setattr(sys, "stdout", output)
            say("größe")

        assert b"gr??e" == capfdbinary.readouterr().out.rstrip()


class TestNumbers:
    def test_count(self) -> None:
        """A count is a whole number, or nothing at all."""
        assert [0, 12] == [count("0"), count("12")]

    @pytest.mark.parametrize("text", ["-1", "x", "1.5", "", "²"])
    def test_no_count(self, text: str) -> None:
        """Anything else is refused in words."""
        with pytest.raises(ArgumentTypeError, match="no whole number of 0 or more"):
            count(text)

    def test_positive(self) -> None:
        """Where nothing would be done, 0 is refused, too."""
        assert 1 == positive("1")
        with pytest.raises(ArgumentTypeError, match="at least 1"):
            positive("0")


class TestCommands:
    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        """``--version`` says which distribution this is: not the wheel that is called duroxide."""
        with pytest.raises(SystemExit) as ended:
            main(["--version"])

        assert 0 == ended.value.code
        assert capsys.readouterr().out.startswith("duroxide-python ")

    def test_interrupted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C ends a command without a traceback."""

        def interrupted(text: str, *, is_error: bool = False) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("duroxide.providers.sql.command.say", interrupted)

        assert 130 == main(["schema", "--url", "sqlite:///x.db"])
