"""Image references and locations."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclavize.errors import RegistryError, UsageError
from enclavize.oci.cache import BlobCache
from enclavize.oci.location import (
    DaemonLocation,
    DirectoryLocation,
    DockerArchiveLocation,
    LayoutLocation,
    OciArchiveLocation,
    RegistryLocation,
    parse_location,
)
from enclavize.oci.reference import parse_reference
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:3.20", "docker.io/library/alpine:3.20"),
        ("user/app", "docker.io/user/app:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest"),
        ("index.docker.io/user/app:1", "docker.io/user/app:1"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("127.0.0.1:5000/demo/hello:1-tee", "127.0.0.1:5000/demo/hello:1-tee"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("example.com/a/b/c_d__e-f--g.h", "example.com/a/b/c_d__e-f--g.h:latest"),
        ("Upper/app", "Upper/app:latest"),
        (f"app@sha256:{HEX}", f"docker.io/library/app@sha256:{HEX}"),
        (f"app:1@sha256:{HEX}", f"docker.io/library/app:1@sha256:{HEX}"),
        (f"host:80/app@sha512:{HEX * 2}", f"host:80/app@sha512:{HEX * 2}"),
    ],
)
def test_names_are_completed_as_docker_does(text: str, canonical: str) -> None:
    assert str(parse_reference(text)) == canonical
    assert str(parse_reference(canonical)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "/app",
        "app/",
        "app:",
        "app:.1",
        "app:" + "t" * 129,
        "app@",
        "app@sha256:123",
        f"app@md5:{HEX}",
        f"app@sha256:{HEX.upper()}",
        "App",
        "a//b",
        "a..b",
        "a___b",
        "-a",
        "a b",
        "a\nb",
        "host:port/app",
        "example.com:123456/app",
        "../../etc",
        "https://example.com/app",
        "a/" * 200 + "a",
        HEX,
        "app:é",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_reference(text)


@pytest.mark.parametrize(
    ("text", "familiar"),
    [
        ("alpine:1", "alpine:1"),
        ("docker.io/user/app:1", "user/app:1"),
        ("example.com/library/app:1", "example.com/library/app:1"),
    ],
)
def test_the_familiar_form_is_what_docker_shows(text: str, familiar: str) -> None:
    assert parse_reference(text).familiar == familiar


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused_and_parsing_is_stable(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError:
        return
    assert parse_reference(str(reference)) == reference


def test_locations_are_told_apart_by_their_scheme() -> None:
    alpine = parse_reference("alpine")
    assert parse_location("alpine") == RegistryLocation(alpine)
    assert parse_location("docker://alpine") == RegistryLocation(alpine)
    assert parse_location("docker-daemon:alpine") == DaemonLocation(alpine)
    assert parse_location("oci:a/b") == LayoutLocation(Path("a/b"))
    assert parse_location("oci:/a/b:1") == LayoutLocation(Path("/a/b"), "1")
    assert parse_location("oci-archive:x.tar:1") == OciArchiveLocation(Path("x.tar"), "1")
    assert parse_location("docker-archive:x.tar") == DockerArchiveLocation(Path("x.tar"))
    assert parse_location("docker-archive:x.tar:alpine") == DockerArchiveLocation(Path("x.tar"), alpine)
    assert parse_location("dir:root:fs") == DirectoryLocation(Path("root:fs"))
    assert parse_location("oci") == RegistryLocation(parse_reference("oci"))


@pytest.mark.parametrize("text", ["oci:", "oci-archive::1", "dir:", "docker-daemon:", "dir:a\0b"])
def test_a_location_without_a_place_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_location(text)


@pytest.mark.parametrize(
    "text", ["oci:/a/b:1", "oci-archive:x.tar", "docker-archive:x.tar:a/b:1", "docker-daemon:a:1", "dir:x"]
)
def test_a_location_is_shown_as_it_is_written(text: str) -> None:
    assert str(parse_location(text)) == text


def test_who_names_a_file_or_a_folder_alone_is_told_how_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("Root", "Layout", "localhost:1/app"):
        Path(folder).mkdir(parents=True)
    Path("Layout", "oci-layout").touch()
    Path("App.tar").touch()

    def hint_for(text: str) -> str | None:
        with pytest.raises(UsageError) as refusal:
            parse_location(text)
        return refusal.value.hint

    assert "dir:./Root names it" in str(hint_for("./Root"))
    assert "oci:Layout names it" in str(hint_for("Layout"))
    assert "oci-archive:App.tar" in str(hint_for("App.tar"))
    assert "no such file" in str(hint_for("./missing"))
    assert "lower case" in str(hint_for("Missing"))
    assert hint_for("a b") is None
    for text in ("", "x" * 5000, "a\0b"):
        assert hint_for(text) is None

    # A name that an image may have is looked for first.
    with pytest.raises(RegistryError) as failure:
        resolve(parse_location("localhost:1/app"), cache=BlobCache(), insecure=True, reporter=Reporter())
    assert "dir:localhost:1/app names it" in str(failure.value.hint)
