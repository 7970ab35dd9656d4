"""Defaults are read as they are written, and open nothing that the manifest does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclavize.errors import IntegrityError
from enclavize.libos.gramine.defaults import Defaults, parse_defaults
from enclavize.tee.policy import AllowedVariable, Policy

OPEN = Policy(
    allow_arguments=True, allowed_environment=(AllowedVariable(name="TOKEN"), AllowedVariable(name="LINES"))
)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@given(
    st.lists(TEXT),
    st.lists(TEXT),
    st.lists(st.builds("{}={}".format, st.sampled_from(["TOKEN", "LINES"]), TEXT)),
)
def test_what_is_written_is_read_again(
    arguments: list[str], command: list[str], variables: list[str]
) -> None:
    defaults = Defaults(arguments=tuple(arguments), command=tuple(command), variables=tuple(variables))
    if defaults == Defaults():
        return
    assert parse_defaults(defaults.to_bytes()) == defaults
    defaults.check(OPEN)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"A",
        b"Afirst",
        b"X\0",
        b"VTOKEN\0",
        b"VTOKEN=a\0Afirst\0",
        b"Cb\0Aa\0",
        b"Aa\0\0",
        b"Aa\0\0Ab\0",
    ],
)
def test_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse_defaults(data)


@pytest.mark.parametrize(
    ("data", "policy"),
    [
        (b"VOTHER=a\0", OPEN),
        (b"VLD_PRELOAD=/x\0", OPEN),
        (b"VTOKEN=a\0", Policy(allow_arguments=True)),
        (b"Aa\0", Policy()),
        (b"Ca\0", Policy()),
    ],
)
def test_what_the_policy_does_not_open_is_refused(data: bytes, policy: Policy) -> None:
    with pytest.raises(IntegrityError):
        parse_defaults(data).check(policy)
