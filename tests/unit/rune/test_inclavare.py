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


def carried(carrier: str, path: str, words: str) -> Wishes:
    environment = {
        "RUNE_CARRIER": carrier,
        "ENCLAVE_TYPE": "intelSgx",
        "ENCLAVE_RUNTIME_PATH": path,
        "ENCLAVE_RUNTIME_ARGS": words,
        "ENCLAVE_RUNTIME_LOGLEVEL": "warning",
    }
    return read_wishes({}, environment, converted=True)


@pytest.mark.parametrize(
    "words", ["", "./", "occlum_instance", "/run/rune/occlum_instance", "occlum_instance,debug"]
)
def test_a_pod_that_wants_its_image_converted_names_the_pal_that_it_would_have_had(words: str) -> None:
    for path in ("/opt/occlum/build/lib/libocclum-pal.so", "/var/run/rune/liberpal-occlum.so", ""):
        assert carried("occlum", path, words) == Wishes(log_level="warning")
    assert carried("graphene", "/usr/lib/liberpal-graphene.so", "") == Wishes(log_level="warning")


@pytest.mark.parametrize(
    ("carrier", "path", "words"),
    [
        ("", "/opt/occlum/build/lib/libocclum-pal.so", ""),
        ("nobodys", "/opt/occlum/build/lib/libocclum-pal.so", ""),
        ("graphene", "/opt/occlum/build/lib/libocclum-pal.so", ""),
        ("occlum", "/evil/evil.so", ""),
        ("occlum", "", "/evil/instance"),
        ("occlum", "", "/evil/occlum_instance"),
        ("occlum", "", "mode=sim"),
        ("occlum", "", "instance=/evil/occlum_instance"),
        ("", "", "occlum_instance"),
    ],
)
def test_other_pals_and_instances_are_refused_all_the_same(carrier: str, path: str, words: str) -> None:
    with pytest.raises(EnclavizeError, match=r"enclave\."):
        carried(carrier, path, words)


def test_a_carrier_is_for_images_that_are_converted_alone() -> None:
    environment = {"RUNE_CARRIER": "occlum", "ENCLAVE_RUNTIME_PATH": "/usr/lib/libocclum-pal.so"}
    with pytest.raises(EnclavizeError, match=r"enclave\.runtime\.path"):
        read_wishes({}, environment)
