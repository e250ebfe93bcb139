"""Limits: exactly at the limit passes, one byte more is refused, with size, limit and remedy."""

from __future__ import annotations

import pytest

from duroxide import Registry
from duroxide._core import limits
from duroxide._core.executor import Executor
from duroxide._core.requests import child_id
from duroxide._core.versions import Version
from duroxide.errors import InvalidInput, LimitExceeded, RegistrationError

from .histories import started


# Two bytes of UTF-8.
UMLAUT = "ä"


class TestSizes:
    @pytest.mark.parametrize(
        ("check", "limit", "words"),
        [
            (limits.check_instance_id, 512, "instance id"),
            (limits.check_existing_id, 512, "instance id"),
            (lambda text: limits.check_name("session id", text), 512, "session id"),
            (limits.check_tag, 256, "tag size"),
            (limits.check_custom_status, 262_144, "Custom status size"),
            (lambda text: limits.check_kv("k", text), 65_536, "KV value size of 'k'"),
            (lambda text: limits.check_kv(text, ""), 512, "KV key size"),
        ],
    )
    @pytest.mark.parametrize("character", ["x", UMLAUT])
    def test_at_and_over_the_limit(self, check, limit, words, character):
        """Sizes are bytes of UTF-8; exactly at the limit passes."""
        at_limit = character * (limit // len(character.encode()))
        check(at_limit)

        with pytest.raises(LimitExceeded) as caught:
            check(at_limit + "x")

        assert str(caught.value).startswith(f"{words} of {limit + 1} bytes exceeds limit of {limit} bytes. ")

    def test_version(self):
        """A version is a name, too."""
        Version.parse(at_limit := "1.0.0-" + "x" * 506)

        with pytest.raises(
            LimitExceeded, match=r"^version of 513 bytes exceeds limit of 512 bytes\. Use a shorter one"
        ):
            Version.parse(f"{at_limit}x")

    def test_registered_name(self):
        """A name that is too long cannot be registered."""
        Registry().register_activity(print, name=UMLAUT * 256)

        with pytest.raises(RegistrationError, match=r"activity name of 514 bytes exceeds limit of 512 bytes"):
            Registry().register_activity(print, name=UMLAUT * 257)

    def test_automatic_children(self):
        """An id can have automatic children as long as the longest of their ids fits."""
        longest = "x" * (2048 - len(child_id("", 2**63 - 1, 2**63 - 1)))
        assert 2000 <= len(longest)
        limits.check_parent_of_automatic("x" * 2000)

        with pytest.raises(LimitExceeded, match=r"of up to 2049 bytes exceeds limit of 2048 bytes.* an instance_id"):
            limits.check_parent_of_automatic("x" * 2001)

    def test_existing_automatic_id(self):
        """An automatic id may be as long as one can get, where it is not to be started."""
        limits.check_existing_id(child := "x" * 2040 + "::sub::2")

        with pytest.raises(LimitExceeded, match=r"^instance id of 2048 bytes exceeds limit of 512 bytes\."):
            limits.check_instance_id(child)
        with pytest.raises(LimitExceeded, match=r"^instance id of 2049 bytes exceeds limit of 2048 bytes\."):
            limits.check_existing_id(f"x{child}")

    def test_sought(self):
        """What is too long to be there may be looked for."""
        limits.check_sought("orchestration_name", "x" * 5000)

    def test_kv_count(self):
        """150 keys pass, 151 are refused."""
        limits.check_kv_count(150)

        with pytest.raises(LimitExceeded, match=r"^KV key count 151 exceeds limit of 150"):
            limits.check_kv_count(151)

    def test_empty_key(self):
        """An empty key and an empty value are legal."""
        limits.check_kv("", "")

    def test_tag_filter(self):
        """A filter has one to five tags."""
        limits.check_tag_filter({"a", "b", "c", "d", "e"})

        with pytest.raises(LimitExceeded, match=r"^6 tags exceeds limit of 5"):
            limits.check_tag_filter(list("abcdef"))
        with pytest.raises(InvalidInput, match=r"^tags is empty"):
            limits.check_tag_filter([])

    def test_size_of(self):
        """A lone surrogate has a size, too."""
        assert limits.size_of("a\ud800😀") == 8


@pytest.mark.parametrize(("size", "warnings"), [(798, 0), (799, 1), (998, 1)])
def test_result_near_the_limit(size, warnings):
    """From 80 % of the limit on there is a warning of what an orchestration returns, quotes included."""
    lines = []
    executor = Executor(
        lambda ctx: "x" * size,
        started(),
        limits=limits.Limits(max_payload_bytes=1000),
        log=lambda level, message, args, keywords: lines.append(message % args),
    )
    executor.feed()

    assert [f"result of orchestration 'fn' of {size + 2} bytes is near the limit of 1000 bytes"] * warnings == [
        line.partition(" (")[0] for line in lines
    ]


class TestTexts:
    @pytest.mark.parametrize(
        "check",
        [limits.check_instance_id, limits.check_existing_id, limits.check_tag, lambda n: limits.check_name("n", n)],
    )
    @pytest.mark.parametrize("text", ["", "a\0b", "a\ud800", None, 5])
    def test_unusable(self, check, text):
        """What is empty, no text, or cannot be stored everywhere is refused."""
        with pytest.raises(InvalidInput):
            check(text)

    @pytest.mark.parametrize("text", ["a\nb", "\x1b[0m", "\x7f", "\x85"])
    def test_control_characters(self, text):
        """An instance id has no control characters."""
        with pytest.raises(InvalidInput, match="has control characters"):
            limits.check_instance_id(text)

    @pytest.mark.parametrize("text", ["order-17", "Bestellung ä/😀 #1", " ", "a::sub::2"])
    def test_usable(self, text):
        """Any printable text is an instance id."""
        limits.check_instance_id(text)

    @pytest.mark.parametrize("text", ["sub::1", "sub::x", "a::sub::2", "a::sub::2_3", "a-x::sub::2::sub::3", "::sub::"])
    def test_reserved_child_ids(self, text):
        """An explicit child id cannot look like an automatic one."""
        with pytest.raises(InvalidInput, match="reserved for automatic child ids"):
            limits.check_child_id(text)

    @pytest.mark.parametrize(
        "text", ["child", "a::subway", "xsub::1", "a::sub::2-x", "a::sub::2/sub::3", "a::sub::2::x"]
    )
    def test_other_child_ids(self, text):
        """Every other instance id is a child id, also one that a child makes of its own automatic one."""
        limits.check_child_id(text)
