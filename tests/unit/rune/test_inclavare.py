"""Inclavare's settings: kept where they are harmless, refused where they would choose code of the host."""

from __future__ import annotations

import pytest

from enclavize.errors import EnclavizeError
from enclavize.rune.inclavare import Wishes, read_wishes


def test_nothing_asked_for() -> None:
    assert read_wishes({}, {}) == Wishes()


def test_annotations() -> None:
    wishes = read_wishes(
        {
            "enclave.type": "intelSgx",
            "enclave.runtime.path": "/usr/lib/liberpal-builtin.so",
            "enclave.runtime.args": "debug,enclu=trap syscall-trap=seccomp",
            "enclave.runtime.loglevel": "fatal",
        },
        {},
    )
    assert wishes.log_level == "error"
    assert dict(wishes.runelet_environment) == {
        "ENCLAVIZE_ENCLU": "trap",
        "ENCLAVIZE_SYSCALL_TRAP": "seccomp",
    }


def test_a_variable_goes_before_its_annotation() -> None:
    wishes = read_wishes({"enclave.runtime.loglevel": "error"}, {"ENCLAVE_RUNTIME_LOGLEVEL": "debug"})
    assert wishes.log_level == "debug"


def test_an_unknown_log_level_is_info() -> None:
    assert read_wishes({"enclave.runtime.loglevel": "chatty"}, {}).log_level == "info"


@pytest.mark.parametrize(
    ("annotations", "environment"),
    [
        ({"enclave.type": "AwsNitroEnclaves"}, {}),
        ({"enclave.runtime.path": "/usr/lib/libocclum-pal.so"}, {}),
        ({}, {"ENCLAVE_RUNTIME_PATH": "evil.so"}),
        ({"enclave.runtime.args": "mode=sim"}, {}),
        ({"enclave.runtime.args": "enclu=maybe"}, {}),
    ],
)
def test_what_is_refused(annotations: dict[str, str], environment: dict[str, str]) -> None:
    with pytest.raises(EnclavizeError, match=r"enclave\."):
        read_wishes(annotations, environment)


def test_wishes_to_see_what_the_program_does() -> None:
    wishes = read_wishes({"enclave.runtime.args": "trace,profile=json report-fd=3"}, {})
    assert dict(wishes.runelet_environment) == {
        "ENCLAVIZE_TRACE": "1",
        "ENCLAVIZE_PROFILE": "json",
        "ENCLAVIZE_REPORT_FD": "3",
    }


@pytest.mark.parametrize("word", ["trace=1", "trace=", "profile", "profile=xml", "report-fd=4"])
def test_wishes_that_are_none(word: str) -> None:
    with pytest.raises(EnclavizeError, match="knows no"):
        read_wishes({"enclave.runtime.args": word}, {})
