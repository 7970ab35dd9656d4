"""``enclavize diff`` names what differs between images, ordinary ones and TEE images of each LibOS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.libos.occlum.sefs.keys import write_image_key
from support.images import build_image, directory, file, symlink, write_layout
from support.programs import MUSL_LOADER, REPOSITORY, busybox, dynamic_musl
from support.stand_in_toolchain import gramine_toolchain, occlum_toolchain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.command import Command
    from support.images import Member

CONFIG = {"Entrypoint": ["/bin/busybox"], "Cmd": ["true"], "Env": ["A=1"]}
CONTENT = bytes(range(256)) * 300


def tree(*more: Member, data: bytes = CONTENT) -> list[Member]:
    """Return a small root file system."""
    return [
        directory("bin"),
        file("bin/busybox", busybox().read_bytes(), 0o755),
        directory("lib"),
        file("lib/ld-musl-x86_64.so.1", MUSL_LOADER.read_bytes(), 0o755),
        directory("etc"),
        file("etc/data", data),
        *more,
    ]


def source(command: Command, name: str, members: Sequence[Member], **config: Any) -> str:
    """Write an image into a layout; return its name."""
    image = build_image(
        [members], config={**CONFIG, **config}, change_config={"created": "2026-05-06T07:08:09Z"}
    )
    return f"oci:{write_layout(command.base / name, {'1': image})}:1"


@pytest.fixture(scope="module")
def toolchains(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give the toolchains by LibOS."""
    folder = tmp_path_factory.mktemp("toolchains")
    return {"gramine": gramine_toolchain(folder / "gramine"), "occlum": occlum_toolchain(folder / "occlum")}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give a program that every LibOS can run: position independent, with musl as its interpreter."""
    folder = tmp_path_factory.mktemp("program")
    dynamic_musl(folder, REPOSITORY / "samples" / "hello" / "hello.c", {}, "hello")
    return (folder / "bin" / "hello").read_bytes()


def converted(command: Command, name: str, image: str, *options: str | Path) -> str:
    """Convert an image; return the TEE image's name."""
    command.run("build", image, *options, "-q", "-o", f"type=oci,tar=false,dest={name}")
    return f"oci:{command.base / name}"


def facts(command: Command, one: str, other: str, *options: str) -> dict[str, Any]:
    """Return the JSON form of a comparison, whose exit code agrees with it."""
    done = command.finish("diff", one, other, "--format", "json", *options)
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["equal"] else 1)
    return found


def changed_byte() -> bytes:
    """Return the content with one byte changed."""
    return CONTENT[:70_000] + b"!" + CONTENT[70_001:]


@pytest.mark.parametrize("libos", ["builtin", "gramine", "occlum"])
def test_one_changed_byte_changes_mrenclave_and_its_file_is_named(
    command: Command, toolchains: dict[str, Path], program: bytes, libos: str
) -> None:
    options = ("--libos", libos, *(("--toolchain", toolchains[libos]) if libos in toolchains else ()))
    hello = file("bin/hello", program, 0o755)
    before = source(command, "before", tree(hello), Entrypoint=["/bin/hello"])
    after = source(command, "after", tree(hello, data=changed_byte()), Entrypoint=["/bin/hello"])
    one = converted(command, "one", before, *options)
    other = converted(command, "other", after, *options)
    found = facts(command, one, other)
    assert set(found["files"]["changed"]) == {"/etc/data"}
    assert set(found["files"]["changed"]["/etc/data"]) == {"content"}
    assert not found["files"]["added"] + found["files"]["removed"]
    assert found["facts"]["mrenclave"][0] != found["facts"]["mrenclave"][1]
    text = command.run("diff", one, other, code=1).stdout
    assert "~ /etc/data: content\n" in text
    assert "mrenclave: " in text
    assert command.run("diff", one, one).stdout == ""
    again = converted(command, "again", before, *options, "--no-cache")
    assert facts(command, one, again)["equal"]


def test_encrypted_files_are_compared_with_their_key(
    command: Command, toolchains: dict[str, Path], program: bytes
) -> None:
    write_image_key(command.base / "image.key")
    (command.base / "enclavize.toml").write_text('[occlum]\nimage-key = "image.key"\n')
    options = ("--libos", "occlum", "--toolchain", toolchains["occlum"], "--config", "enclavize.toml")
    names = []
    for name, data in (("one", CONTENT), ("other", changed_byte())):
        members = tree(file("bin/hello", program, 0o755), data=data)
        image = source(command, f"source-{name}", members, Entrypoint=["/bin/hello"])
        names.append(converted(command, name, image, *options))
    found = facts(command, *names, "--image-key", "image.key")
    assert set(found["files"]["changed"]) == {"/etc/data"}
    done = command.run("diff", *names, code=1)
    assert "its files are encrypted" in done.stderr
    assert "mrenclave" in done.stdout
    assert "/etc/data" not in done.stdout


def test_a_tee_image_is_compared_with_what_it_was_made_of(command: Command) -> None:
    ordinary = source(command, "ordinary", tree())
    tee = converted(command, "tee", ordinary)
    assert facts(command, tee, ordinary)["equal"]
    assert facts(command, ordinary, tee)["equal"]
    other = source(command, "other", tree(file("etc/more", b"")))
    assert facts(command, tee, other)["files"] == {"removed": [], "added": ["/etc/more"], "changed": {}}


def test_measured_settings_are_compared(command: Command) -> None:
    image = source(command, "image", tree())
    one = converted(command, "one", image, "--set", "threads=5")
    other = converted(command, "other", image, "--allow-args", "--allow-env", "TZ")
    found = facts(command, one, other)
    assert not any(found["files"].values())
    assert found["facts"]["policy.args"] == [False, True]
    assert [5, 64] in found["facts"].values()


def test_everything_about_files_is_compared(command: Command) -> None:
    one = source(
        command,
        "one",
        tree(file("gone"), file("kind"), symlink("link", "a"), file("same", mtime=5), file("hard")),
    )
    other = source(
        command,
        "two",
        [
            *tree(
                symlink("kind", "x"), symlink("link", "b"), file("same", mode=0o600, uid=3, gid=4, mtime=6)
            ),
            file("hard", pax={"SCHILY.xattr.user.x": "1"}),
            file("new\x1b[2J"),
        ],
        Env=["A=1", "B=2"],
        User="7",
    )
    found = facts(command, one, other)
    assert found["files"]["removed"] == ["/gone"]
    assert found["files"]["added"] == ["/new\x1b[2J"]
    changed = found["files"]["changed"]
    assert changed["/same"] == {"mode": ["0644", "0600"], "owner": ["0:0", "3:4"], "time": [5, 6]}
    assert changed["/link"] == {"target": ["a", "b"]}
    assert changed["/kind"]["type"] == ["regular", "symlink"]
    assert changed["/hard"] == {"xattrs": [{}, {"user.x": "31"}]}
    assert found["facts"] == {"env": [[], ["B=2"]], "user": ["", "7"]}
    text = command.run("diff", one, other, code=1).stdout
    assert "~ /same: mode 0644 -> 0600, owner 0:0 -> 3:4, time 5 -> 6\n" in text
    assert "\x1b" not in text
    assert "time" not in facts(command, one, other, "--ignore-times")["files"]["changed"]["/same"]


def test_a_missing_image_is_an_error(command: Command) -> None:
    done = command.finish("diff", "oci:nowhere", "oci:nowhere")
    assert done.returncode == 1
    assert "ERROR" in done.stderr
