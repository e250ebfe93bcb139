"""pydantic models as payloads: what pydantic writes of them is read again, or refused."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

import attrs
import pydantic
import pytest

from pydantic.alias_generators import to_camel

from duroxide._core import models
from duroxide._core.payloads import decode, encode
from duroxide.errors import PayloadError


T = TypeVar("T")


class Aliased(pydantic.BaseModel):
    first_name: str = pydantic.Field(default="nobody", alias="firstName")


class Generated(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(alias_generator=to_camel, extra="forbid")
    first_name: str
    next_one: Generated | None = None


class Validated(pydantic.BaseModel):
    x: int = pydantic.Field(validation_alias=pydantic.AliasChoices("ex", pydantic.AliasPath("a", 0)))


class Serialized(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(serialize_by_alias=True)
    x: int = pydantic.Field(alias="ex")


class Root(pydantic.RootModel[dict[str, Aliased]]):
    pass


class Box(pydantic.BaseModel, Generic[T]):
    content: T


class Cat(pydantic.BaseModel):
    kind: Literal["cat"] = "cat"
    name: str = ""


class Dog(pydantic.BaseModel):
    kind: Literal["dog"] = "dog"
    name: str = ""
    tricks: list[str] = []


class Fish(pydantic.BaseModel):
    name: str = ""


class Whale(pydantic.BaseModel):
    name: str = ""


class Bird(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(serialize_by_alias=True)
    can_fly: bool = pydantic.Field(alias="canFly")


@attrs.frozen
class Cage:
    pet: Cat | Dog
    guests: list[Annotated[Cat | Dog, pydantic.Field(discriminator="kind")] | None] = attrs.Factory(list)


Pet = Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]


def round_trip(value: Any, hint: Any) -> Any:
    return decode(encode(value, where="it"), hint, where="it")


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (Aliased(firstName="Ann"), Aliased),
        (Generated(firstName="Ann", nextOne=Generated(firstName="Bob")), Generated),
        (Validated(ex=1), Validated),
        (Serialized(ex=1), Serialized),
        (Root({"a": Aliased(firstName="Ann")}), Root),
        (Box[Aliased](content=Aliased(firstName="Ann")), Box[Aliased]),
        ([Aliased(firstName="Ann")], list[Aliased]),
    ],
    ids=repr,
)
def test_aliases(value: Any, hint: Any) -> None:
    """A field arrives whatever it is called outside, also one that has a default to fall back on."""
    assert value == round_trip(value, hint)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (Cat(), Cat | Dog),
        (Dog(tricks=["sit"]), Cat | Dog),
        (Dog(), Pet),
        (Dog(), Pet | None),
        (None, Pet | None),
        ([Cat(), Dog()], list[Pet]),
        ({"a": Dog()}, dict[str, Cat | Dog]),
        ((Cat(), Dog()), tuple[Pet, Pet]),
        (Cage(Dog(), [Cat(), None]), Cage),
        (Cat(), Cat | Cage),
        (Cage(Cat()), Cat | Cage),
        (Bird(canFly=True), Cat | Bird),
        (Cat(name="Tom"), Cat | Bird),
        (Cat(), Cat | list[Cat]),
        ([Cat()], Cat | list[Cat]),
        (Root({"a": Aliased(firstName="Ann")}), Root | list[int]),
        (Cat(), Cat | str | int),
        ("Tom", Cat | str | int),
    ],
    ids=repr,
)
def test_unions(value: Any, hint: Any) -> None:
    """Which model it was is told by its fields, or by their values; discriminators may be named."""
    read = round_trip(value, hint)

    assert value == read
    assert type(value) is type(read)


@pytest.mark.parametrize(
    ("text", "hint", "reason"),
    [
        ('{"name":"x"}', Fish | Whale, "it may be each of"),
        ('{"kind":"cow","name":"x"}', Cat | Dog, "Input should be 'cat'"),
        ("[1]", Cat | Dog, "expected"),
        ("5", Cat | str, "expected"),
    ],
)
def test_refused(text: str, hint: Any, reason: str) -> None:
    """What is none of them, or may be several, is refused."""
    with pytest.raises(PayloadError) as caught:
        decode(text, hint, where="it")

    assert reason in str(caught.value)


class Login(pydantic.BaseModel):
    user: str
    passwords: list[pydantic.SecretStr]


class Sessions(pydantic.BaseModel):
    by_name: dict[str, Login]


class Dumped(pydantic.BaseModel):
    password: pydantic.SecretStr

    @pydantic.field_serializer("password", when_used="json")
    def dump(self, password: pydantic.SecretStr) -> str:
        """Write it as it is."""
        return password.get_secret_value()


def test_secrets() -> None:
    """A secret is neither stored, nor silently replaced with asterisks, unless its class wants it to be written."""
    login = Login(user="*" * 10, passwords=["a", "b"])

    with pytest.raises(PayloadError, match=r"\$.by_name.Ann.passwords\[0\] is a secret"):
        encode(Sessions(by_name={"Ann": login}), where="it")
    assert round_trip(Login(user="*" * 10, passwords=[]), Login).user == "*" * 10
    assert Dumped(password="secret") == round_trip(Dumped(password="secret"), Dumped)  # noqa: S106  # it is none


@pydantic.dataclasses.dataclass
class ByAlias:
    name: str = pydantic.Field(default="nobody", alias="Name")


@pydantic.dataclasses.dataclass
class ByChoice:
    name: str = pydantic.Field(default="nobody", validation_alias=pydantic.AliasChoices("Name", "name"))


@pydantic.dataclasses.dataclass(config=pydantic.ConfigDict(populate_by_name=True))
class ByName:
    name: str = pydantic.Field(default="nobody", alias="Name")


def test_dataclasses() -> None:
    """Of pydantic's dataclasses those are refused whose fields would not be read by their names: they would get defaults."""
    with pytest.raises(PayloadError, match=r"takes name of a dataclass by an alias only. Give it config="):
        encode([ByAlias(Name="Ann")], where="it")
    for value in (ByChoice(Name="Ann"), ByName(Name="Ann")):
        assert value == round_trip(value, type(value))


def test_older_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pydantic cannot be told to read by name, a model that it would not read is refused where it is sent."""
    monkeypatch.setattr(models, "_can_read_by_name", lambda base: False)
    models._check_aliases.cache_clear()

    with pytest.raises(PayloadError, match=r"reads first_name by an alias only. Upgrade pydantic to 2.11"):
        encode(Aliased(firstName="Ann"), where="it")
    assert Cat() == round_trip(Cat(), Cat)
    models._check_aliases.cache_clear()
