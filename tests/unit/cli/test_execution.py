"""How the program in a folder is run, on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from enclavize.cli.grammar.execution import parse_source
from enclavize.errors import UsageError
from enclavize.oci.execution import Execution
from enclavize.oci.location import DirectoryLocation

if TYPE_CHECKING:
    from enclavize.oci.location import Location

_NONE: dict[str, Any] = dict.fromkeys(
    ("entrypoint", "cmd", "env", "workdir", "user", "expose", "volumes"), None
)


def parse(source: str = "dir:/r", **given: Any) -> Location:
    return parse_source(source, **{**_NONE, **given})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"entrypoint": "/bin/app"}, {"entrypoint": ("/bin/app",)}),
        ({"entrypoint": "/bin/app -v 'a b'"}, {"entrypoint": ("/bin/app", "-v", "a b")}),
        ({"entrypoint": '["/bin/app", "a b", ""]'}, {"entrypoint": ("/bin/app", "a b", "")}),
        ({"cmd": "x y"}, {"cmd": ("x", "y")}),
        ({"env": ["A=1", "B=a=b", "C="]}, {"env": ("A=1", "B=a=b", "C=")}),
        ({"workdir": "/srv//x/"}, {"working_dir": "/srv/x"}),
        ({"user": "app:7"}, {"user": "app:7"}),
        ({"expose": ["80", "53/UDP", "80/tcp", "8000-8002"]},
         {"ports": ("80/tcp", "53/udp", "8000/tcp", "8001/tcp", "8002/tcp")}),
        ({"volumes": ["/data/", "/data"]}, {"volumes": ("/data",)}),
    ],
)  # fmt: skip
def test_options_of_a_folder(given: dict[str, Any], expected: dict[str, Any]) -> None:
    location = parse(**given)
    assert isinstance(location, DirectoryLocation)
    assert location.execution == Execution(**expected)
    assert str(location) == "dir:/r"
    with pytest.raises(UsageError, match="x is an image, which says itself how it is run"):
        parse("docker-archive:x", **given)


def test_nothing_is_given() -> None:
    location = parse(entrypoint="", workdir="")
    assert isinstance(location, DirectoryLocation)
    assert location.execution is None
    assert parse("oci:x") == parse("oci:x", env=[])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"entrypoint": "a 'b"}, "--entrypoint .*No closing quotation"),
        ({"entrypoint": "[1]"}, "--entrypoint '.1.' is no command"),
        ({"entrypoint": "[]"}, "is no command"),
        ({"entrypoint": "[" * 100_000}, "--entrypoint .*recursion"),
        ({"cmd": '["a"'}, "--cmd"),
        ({"env": ["A"]}, "not of the form NAME=VALUE"),
        ({"env": ["=1"]}, "not of the form NAME=VALUE"),
        ({"workdir": "srv"}, "--workdir 'srv' is no absolute path"),
        ({"expose": ["http"]}, "--expose 'http' is no port"),
        ({"expose": ["0"]}, "no port"),
        ({"expose": ["70000"]}, "no port"),
        ({"expose": ["9-8"]}, "no port"),
        ({"volumes": ["data"]}, "--volume-of-image 'data' is no absolute path"),
    ],
)
def test_malformed_options_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(**given)
