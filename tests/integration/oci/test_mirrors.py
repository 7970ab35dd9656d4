"""Mirrors and other locations of registries.conf: found where the file says, named as the user wrote."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import RegistryError, UsageError
from enclavize.oci.location import parse_location
from enclavize.oci.reference import parse_reference
from enclavize.oci.registry.mirrors import endpoints_of
from enclavize.oci.registry.target import RegistryTarget
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from support.images import build_image, file, to_write
from support.registry import Front

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.oci.cache import BlobCache
    from enclavize.progress import Event
    from support.registry import Registry

pytestmark = pytest.mark.integration

NAME = "example.com/team/app"
MIRROR = '[[registry.mirror]]\nlocation = "{}"\n'
DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only registries.conf that counts; it is not there yet."""
    path = tmp_path / "registries.conf"
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(path))
    return path


def places(text: str) -> list[str]:
    """Where a reference is looked for; insecure places end with an exclamation mark."""
    found = endpoints_of(parse_reference(text), insecure=False)
    return [f"{place.reference}{'!' * place.insecure}" for place in found]


@pytest.mark.parametrize(
    ("table", "name", "found"),
    [
        ("", f"{NAME}:1", [f"{NAME}:1"]),
        ('location = "example.com/team"', f"{NAME}:1", [f"{NAME}:1"]),
        ('prefix = "example.com"\nlocation = "cache:5000/x"', f"{NAME}:1", ["cache:5000/x/team/app:1"]),
        ('prefix = "example.com/te"\nlocation = "cache:5000"', f"{NAME}:1", [f"{NAME}:1"]),
        (f'prefix = "{NAME}:1"\nlocation = "cache:5000/y:2"', f"{NAME}:1", ["cache:5000/y:2"]),
        (f'prefix = "{NAME}:1"\nlocation = "cache:5000/y:2"', f"{NAME}:10", [f"{NAME}:10"]),
        ('prefix = "*.example.com"\ninsecure = true', "a.b.example.com/x:1", ["a.b.example.com/x:1!"]),
        ('prefix = "*.example.com"\ninsecure = true', "example.com/x:1", ["example.com/x:1"]),
        ('prefix = "docker.io"\nlocation = "cache:5000"', "alpine", ["cache:5000/library/alpine:latest"]),
        (
            'location = "example.com"\n[[registry.mirror]]\nlocation = "one:1"\ninsecure = true\n'
            + MIRROR.format("two:2/deep/"),
            f"{NAME}:1",
            ["one:1/team/app:1!", "two:2/deep/team/app:1", f"{NAME}:1"],
        ),
        (
            'location = "example.com"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "one:1"',
            f"{NAME}:1",
            [f"{NAME}:1"],
        ),
        (
            'location = "example.com"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "one:1"',
            f"{NAME}@{DIGEST}",
            [f"one:1/team/app@{DIGEST}", f"{NAME}@{DIGEST}"],
        ),
        (
            'location = "example.com"\n' + MIRROR.format("one:1") + 'pull-from-mirror = "tag-only"',
            f"{NAME}@{DIGEST}",
            [f"{NAME}@{DIGEST}"],
        ),
        (
            (
                'location = "example.com"\nlocation2 = 7\n[[registry]]\nprefix = "example.com/team"\n'
                'location = "longer:1"\n[[registry]]\nprefix = "example.com/other"\nlocation = "no:1"'
            ),
            f"{NAME}:1",
            ["longer:1/app:1"],
        ),
    ],
)
def test_places(configured: Path, table: str, name: str, found: list[str]) -> None:
    configured.write_text(f"[[registry]]\n{table}\n" if table else "unqualified-search-registries = []\n")
    assert places(name) == found


def test_a_blocked_name_is_refused_with_the_file_that_says_so(configured: Path) -> None:
    configured.write_text('[[registry]]\nprefix = "example.com"\nblocked = true\n')
    with pytest.raises(RegistryError, match="is blocked on this machine") as caught:
        places(f"{NAME}:1")
    assert str(configured) in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        "registry = 1",
        "[[registry]]\nlocation = 1",
        "[[registry]]\nblocked = true",
        '[[registry]]\nlocation = "a"\nblocked = "yes"',
        '[[registry]]\nlocation = "example.com"\n[[registry.mirror]]\ninsecure = true',
        '[[registry]]\nlocation = "example.com"\n[[registry.mirror]]\nlocation = "A b"',
        '[[registry]]\nlocation = "example.com"\n' + MIRROR.format("a:1") + 'pull-from-mirror = "x"',
        "[[registry",
        "x = " + "[" * 5000,
    ],
)
def test_a_damaged_file_is_named(configured: Path, text: str) -> None:
    configured.write_text(text)
    with pytest.raises(UsageError, match=r"registries\.conf"):
        places(f"{NAME}:1")


def test_drop_ins_replace_tables_of_the_same_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTAINERS_REGISTRIES_CONF", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "containers/registries.conf.d"
    folder.mkdir(parents=True)
    (tmp_path / "containers/registries.conf").write_text('[[registry]]\nprefix="example.com"\nlocation="a:1"')
    (folder / "50-b.conf").write_text('[[registry]]\nprefix="example.com"\nlocation="b:1"')
    (folder / "10-c.conf").write_text('[[registry]]\nprefix="example.com"\nlocation="c:1"')
    (folder / "99-d.txt").write_text("not read")
    assert places(f"{NAME}:1") == ["b:1/team/app:1"]


def test_an_image_comes_from_the_mirror_that_has_it_and_keeps_its_name(
    registry: Registry, cache: BlobCache, configured: Path
) -> None:
    image = build_image([[file("etc/motd", b"hello")]])
    RegistryTarget().deliver(to_write(image, f"{registry.host}/cache/team/app:1"), Reporter())
    events: list[Event] = []
    with Front(registry.port, lambda handler: handler.answer(404)) as empty:
        configured.write_text(
            f'[[registry]]\nlocation = "example.com"\n[[registry.mirror]]\nlocation = "{empty.host}"\n'
            f'[[registry.mirror]]\nlocation = "127.0.0.1:1"\n'
            f'[[registry.mirror]]\nlocation = "{registry.host}/cache"\n'
        )
        found = resolve(parse_location(f"{NAME}:1"), cache=cache, reporter=Reporter(events.append))
    with found.source.open_blob(found.layers[0]) as stream:
        assert stream.read() == image.layers[0].blob
    found.source.close()
    assert found.name == f"{NAME}:1"
    assert str(found.source.origin) == f"{registry.host}/cache/team/app:1"
    warnings = [event.message for event in events if event.kind == "warning"]
    assert len(warnings) == 2
    assert all("is passed over" in warning for warning in warnings)


def test_skopeo_finds_the_same_image(registry: Registry, configured: Path) -> None:
    image = build_image([[file("etc/motd", b"hello")]])
    RegistryTarget().deliver(to_write(image, f"{registry.host}/cache/team/app:2"), Reporter())
    configured.write_text(
        f'[[registry]]\nprefix = "example.com"\nlocation = "{registry.host}/cache"\ninsecure = true\n'
    )
    if not (skopeo := shutil.which("skopeo")):
        pytest.skip("skopeo is not installed")
    command = [skopeo, "--registries-conf", str(configured), "inspect", "--raw", f"docker://{NAME}:2"]
    said = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert said.stdout == image.manifest_bytes
