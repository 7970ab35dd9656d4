"""Dataclasses of ``enclavize.values`` are what those of the standard library are."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from enclavize import values
from support.programs import REPOSITORY

if TYPE_CHECKING:
    from types import ModuleType


def _classes(made_by: ModuleType) -> tuple[Any, Any, Any]:
    @made_by.dataclass(frozen=True, kw_only=True)
    class Base:
        name: str
        size: int = 7
        secret: str = made_by.field(default="", repr=False, compare=False)
        found: list[int] = made_by.field(default_factory=list, hash=False)

        @cached_property
        def length(self) -> int:
            return len(self.name)

    @made_by.dataclass(frozen=True, kw_only=True)
    class Extended(Base):
        size: int = 8
        more: str

        def __post_init__(self) -> None:
            if self.size < 0:
                raise ValueError(self.size)

    @made_by.dataclass(frozen=True)
    class Pair:
        left: int
        right: str = "r"

    return Base, Extended, Pair


OURS = _classes(values)
THEIRS = _classes(dataclasses)


@pytest.mark.parametrize(("base", "extended", "pair"), [OURS, THEIRS], ids=["ours", "theirs"])
class TestBoth:
    """What holds for these and for those of the standard library."""

    def test_defaults_and_equality(self, base: Any, extended: Any, pair: Any) -> None:
        one, other = base(name="a", secret="x"), base(name="a", size=7)
        assert one == other
        assert hash(one) == hash(other)
        assert one != base(name="b")
        assert base(name="a", found=[1]) != one
        assert hash(base(name="a", found=[1])) == hash(one)
        assert one != extended(name="a", more="")
        assert one.found == []
        assert one.found is not other.found
        assert pair(1) == pair(1, "r") == pair(right="r", left=1)
        assert extended(name="a", more="m").size == 8

    def test_repr_tells_what_may_be_told(self, base: Any, extended: Any, pair: Any) -> None:
        assert repr(base(name="a", secret="x")).endswith("Base(name='a', size=7, found=[])")
        assert repr(pair(2)).endswith("Pair(left=2, right='r')")
        assert repr(extended(name="a", more="m")).endswith("Extended(name='a', size=8, found=[], more='m')")

    @pytest.mark.parametrize(
        ("positional", "named"),
        [((), {}), ((), {"name": "a", "x": 1}), (("a",), {}), (("a",), {"name": "a"})],
    )
    def test_wrong_values_are_refused(
        self, base: Any, extended: Any, pair: Any, positional: tuple[str, ...], named: dict[str, Any]
    ) -> None:
        with pytest.raises(TypeError):
            base(*positional, **named)
        with pytest.raises(TypeError):
            pair(1, "r", 3)
        with pytest.raises(TypeError):
            pair(1, left=1)
        with pytest.raises(ValueError, match="-1"):
            extended(name="a", more="", size=-1)

    def test_they_do_not_change(self, base: Any, extended: Any, pair: Any) -> None:
        one = base(name="abc")
        assert one.length == 3
        for instance in (one, extended(name="a", more="")):
            with pytest.raises(AttributeError):
                instance.name = "b"
            with pytest.raises(AttributeError):
                del instance.name
        with pytest.raises(AttributeError):
            pair(1).new = 1

    @pytest.mark.parametrize("replace", [values.replace, dataclasses.replace])
    def test_replace(self, base: Any, extended: Any, pair: Any, replace: Any) -> None:
        one = base(name="abc", secret="x")
        assert one.length == 3
        changed = replace(one, name="ab")
        assert (changed.name, changed.secret, changed.length) == ("ab", "x", 2)
        assert replace(pair(1), right="x") == pair(1, "x")
        with pytest.raises(ValueError, match="-2"):
            replace(extended(name="a", more=""), size=-2)
        with pytest.raises(TypeError):
            replace(one, nothing=1)

    def test_the_functions_of_the_standard_library(self, base: Any, extended: Any, pair: Any) -> None:
        assert dataclasses.asdict(extended(name="a", more="m")) == {
            "name": "a", "size": 8, "secret": "", "found": [], "more": "m",
        }  # fmt: skip
        assert [field.name for field in dataclasses.fields(extended)] == [
            "name", "size", "secret", "found", "more",
        ]  # fmt: skip
        assert dataclasses.astuple(pair(1)) == (1, "r")
        assert dataclasses.asdict(pair(base(name="a")))["left"]["name"] == "a"

    def test_patterns(self, base: Any, extended: Any, pair: Any) -> None:
        match pair(1, "x"):
            case pair(left, right="x"):
                assert left == 1
            case _:
                pytest.fail("not matched")
        assert base.__match_args__ == extended.__match_args__ == ()


@values.dataclass(frozen=True, kw_only=True)
class Sent:
    """What another process gets."""

    name: str


def test_another_process_can_have_them() -> None:
    assert pickle.loads(pickle.dumps(Sent(name="a"))) == Sent(name="a")


def test_names_of_fields() -> None:
    assert values.field_names(OURS[1]) == ("name", "size", "secret", "found", "more")


def test_what_takes_programs_apart_is_not_loaded() -> None:
    script = (
        "import sys, enclavize.rune.run, enclavize.oci.resolve; "
        "print({'dataclasses', 'inspect', 'ast', 'tokenize'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert done.stdout == "set()\n"
