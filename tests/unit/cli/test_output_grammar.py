"""``--output``, ``--push``, ``--load`` mean what they mean in docker buildx."""

from pathlib import Path

import pytest

from enclavize.cli.grammar.fields import parse_fields, parse_switch
from enclavize.cli.grammar.output import combine_outputs, parse_output
from enclavize.errors import UsageError
from enclavize.pipeline.options import Output, OutputKind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type=registry", Output(kind=OutputKind.REGISTRY)),
        ("type=image,push=true", Output(kind=OutputKind.REGISTRY)),
        ("type=image,push=1,name=a/b:1", Output(kind=OutputKind.REGISTRY, names=("a/b:1",))),
        ("type=image", Output(kind=OutputKind.IMAGE)),
        ("type=docker", Output(kind=OutputKind.DAEMON)),
        ("type=docker,dest=x.tar", Output(kind=OutputKind.DOCKER_ARCHIVE, destination=Path("x.tar"))),
        ("type=docker,dest=-", Output(kind=OutputKind.DOCKER_ARCHIVE)),
        ("type=oci", Output(kind=OutputKind.OCI_ARCHIVE)),
        ("type=oci,dest=x.tar", Output(kind=OutputKind.OCI_ARCHIVE, destination=Path("x.tar"))),
        ("TYPE=oci,Dest=x.tar", Output(kind=OutputKind.OCI_ARCHIVE, destination=Path("x.tar"))),
        ('type=oci,"dest=a,b.tar"', Output(kind=OutputKind.OCI_ARCHIVE, destination=Path("a,b.tar"))),
        ("type=oci,tar=false,dest=d", Output(kind=OutputKind.OCI_LAYOUT, destination=Path("d"))),
        ("type=local,dest=d", Output(kind=OutputKind.LOCAL, destination=Path("d"))),
        ("type=tar", Output(kind=OutputKind.TAR)),
        ("type=tar,dest=x.tar", Output(kind=OutputKind.TAR, destination=Path("x.tar"))),
        ("./folder", Output(kind=OutputKind.LOCAL, destination=Path("folder"))),
        ("-", Output(kind=OutputKind.TAR)),
        ('type=registry,"name=a:1,b:1"', Output(kind=OutputKind.REGISTRY, names=("a:1", "b:1"))),
    ],
)
def test_outputs_are_understood(text: str, expected: Output) -> None:
    assert parse_output(text) == expected


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"),
        ("type=", "unknown type"),
        ("type=squashfs,dest=x", "unknown type"),
        ("dest=x.tar", "unknown type"),
        ("type=oci,type=docker", "twice"),
        ("type=oci,compression=zstd", "compression"),
        ("type=oci,dest", "key=value"),
        ("type=oci,dest=", "empty"),
        ("type=oci,tar=false", "folder"),
        ("type=oci,tar=perhaps", "neither true nor false"),
        ("type=local", "folder"),
        ("type=registry,dest=x", "dest"),
        ("type=registry,name=UPPER", "not a valid image reference"),
        ('type=oci,"dest=x', "--output"),
    ],
)
def test_malformed_outputs_are_refused(text: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        parse_output(text)


def kinds(
    *outputs: str, push: bool = False, load: bool = False, tags: tuple[str, ...] = ("t:1",)
) -> list[str]:
    return [output.kind.name for output in combine_outputs(outputs, push=push, load=load, tags=tags)]


def test_push_and_load_add_outputs() -> None:
    assert kinds(push=True) == ["REGISTRY"]
    assert kinds(load=True) == ["DAEMON"]
    assert kinds(push=True, load=True) == ["REGISTRY", "DAEMON"]
    assert kinds("type=oci,dest=x", push=True) == ["OCI_ARCHIVE", "REGISTRY"]


def test_push_turns_an_image_output_into_a_push_and_adds_none() -> None:
    assert kinds("type=image", push=True) == ["REGISTRY"]
    assert kinds("type=registry", push=True) == ["REGISTRY"]
    assert kinds("type=docker", load=True) == ["DAEMON"]


def test_outputs_without_names_get_the_tags() -> None:
    outputs = combine_outputs(["type=registry,name=a:1"], push=False, load=True, tags=["t:1", "t:2"])
    assert [output.names for output in outputs] == [("a:1",), ("t:1", "t:2")]


@pytest.mark.parametrize("outputs", [[], ["type=image"]])
def test_a_build_without_an_output_is_refused_with_a_hint(outputs: list[str]) -> None:
    with pytest.raises(UsageError, match="would be lost") as caught:
        combine_outputs(outputs, push=False, load=False, tags=["t:1"])
    assert "--push" in (caught.value.hint or "")


def test_pushing_and_loading_need_a_name_but_files_do_not() -> None:
    for push, load in ((True, False), (False, True)):
        with pytest.raises(UsageError, match="no name"):
            combine_outputs([], push=push, load=load, tags=[])
    assert kinds("type=oci,dest=x", tags=()) == ["OCI_ARCHIVE"]


def test_a_digest_is_no_name_for_something_new() -> None:
    with pytest.raises(UsageError, match="digest"):
        kinds(push=True, tags=(f"a@sha256:{'0' * 64}",))


def test_two_outputs_to_one_place_are_refused() -> None:
    with pytest.raises(UsageError, match="same place"):
        kinds("type=oci,dest=x", "type=docker,dest=x")


def test_fields_and_switches_follow_go() -> None:
    assert parse_fields("a=1, B =x=y", "-o") == {"a": "1", "b": "x=y"}
    assert parse_switch("T", "x") is True
    assert parse_switch("0", "x") is False
