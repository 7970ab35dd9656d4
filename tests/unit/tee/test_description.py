"""``enclave.json`` is written, parsed, and refused when malformed."""

import json
from dataclasses import replace
from typing import Any

import pytest

from enclavize.errors import InvalidImageError
from enclavize.tee.description import (
    DescribedFile,
    TeeDescription,
    parse_description,
)
from enclavize.tee.layout import MAX_DESCRIPTION_SIZE
from enclavize.tee.policy import AllowedVariable, Network, Policy, Volume

DESCRIPTION = TeeDescription(
    generator="enclavize/0.1.0",
    libos="builtin",
    libos_version="0.1.0",
    mrenclave="ab" * 32,
    mrsigner="cd" * 32,
    isv_prod_id=1,
    isv_svn=2,
    debug=False,
    argv=("/bin/app", "--serve"),
    files={"bin/runelet": DescribedFile(size=5, sha256="ef" * 32)},
    policy=Policy(
        allow_arguments=True,
        allowed_environment=(AllowedVariable(name="A", unsafe=True),),
        allowed_exec=(("ls", "-l"),),
        volumes=(Volume(path="/data", read_only=True),),
        network=Network.LOOPBACK,
    ),
)


def test_what_is_written_is_read_again() -> None:
    assert parse_description(DESCRIPTION.to_bytes()) == DESCRIPTION
    anything = replace(DESCRIPTION, policy=Policy(allow_any_exec=True, network=Network.ALL))
    assert parse_description(anything.to_bytes()) == anything


@pytest.mark.parametrize(("libos", "network"), [("builtin", Network.NONE), ("gramine", None)])
def test_what_says_nothing_of_the_network(libos: str, network: Network | None) -> None:
    """The builtin LibOS had no sockets then; others leave the network to the host."""
    document = replace(DESCRIPTION, libos=libos).to_json()
    del document["policy"]["network"]
    assert parse_description(json.dumps(document).encode()).policy.network is network
    assert "network" not in parse_description(json.dumps(document).encode()).to_json()["policy"]
    for other in ("some", "none", 1):
        document["policy"]["network"] = other
        with pytest.raises(InvalidImageError, match="network"):
            parse_description(json.dumps(document).encode())


def test_an_unsigned_enclave_has_no_signer() -> None:
    unsigned = replace(DESCRIPTION, mrsigner=None)
    assert parse_description(unsigned.to_bytes()) == unsigned
    document = unsigned.to_json()
    del document["mrsigner"]
    with pytest.raises(InvalidImageError, match="mrsigner"):
        parse_description(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 3), (("version",), 0), (("version",), True), (("version",), 1),
        (("version",), None), (("argv",), None), (("argv",), ["a", 1]), (("argv",), "a"),
        (("mrenclave",), "ab"), (("mrenclave",), "AB" * 32),
        (("isvsvn",), -1),
        (("isvsvn",), 65536), (("isvsvn",), True), (("debug",), "no"), (("libos",), None),
        (("libos", "url"), "x"),
        (("extra",), 1), (("files",), []), (("files", "x"), 1), (("files", "x"), {"size": 1, "sha256": ""}),
        (("policy", "exec"), False), (("policy", "exec"), [[1]]), (("policy", "args"), None),
        (("policy", "volumes"), [{"path": "/x"}]), (("policy", "network"), True),
    ],
)  # fmt: skip
def test_malformed_descriptions_are_refused(path: tuple[str, ...], value: object) -> None:
    document: Any = DESCRIPTION.to_json()
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(InvalidImageError, match=r"enclave\.json"):
        parse_description(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b" " * (MAX_DESCRIPTION_SIZE + 1)])
def test_what_is_no_description_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImageError):
        parse_description(data)
