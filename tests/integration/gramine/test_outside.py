"""Gramine's files outside of the enclave: compared with a toolchain or with pinned digests, or told."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.resources import native_file
from support.command import Command
from support.images import file
from support.stand_in_toolchain import stand_in_gramine
from support.tampering import TamperedImage

from .test_tampering import NOT_MEASURED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Done
    from support.images import Member

    from .conftest import Lab

pytestmark = pytest.mark.integration

EVIL = b"\x7fELF evil"


@pytest.fixture(scope="module")
def pins(lab: Lab) -> Path:
    """Return the digests of the toolchain, in a file."""
    path = lab.base / "gramine.sha256"
    path.write_text(
        lab.converter.run("toolchain", "digests", str(lab.toolchain), "--libos", "gramine").stdout
    )
    return path


def changed(built: Path, copy: Path, change: Callable[[TamperedImage], object]) -> Path:
    """Change a copy, and let enclave.json tell what it has now."""
    image = TamperedImage(built, copy)
    change(image)
    image.redescribe()
    image.save()
    return copy


def verify(lab: Lab, layout: Path, *options: str | Path, code: int) -> Done:
    """Verify with these options alone."""
    command = Command(base=lab.converter.base, native=native_file("runelet").parent)
    key = lab.converter.key.with_name("enclave-key.pub.pem")
    return command.run("verify", f"oci:{layout}", "--signer", key, *options, code=code)


def tell(**members: Any) -> Callable[[TamperedImage], object]:
    """Return what sets members of the image's ``config``; None removes."""

    def change(image: TamperedImage) -> None:
        execution = image.config["config"]
        for name, value in members.items():
            execution.pop(name, None)
            execution |= {} if value is None else {name: value}

    return change


def put(image: TamperedImage, layer: int, member: Member) -> None:
    """Add a member where a build would have it."""
    image.layers[layer] = sorted([*image.layers[layer], member], key=lambda member: member.path)


def describe(image: TamperedImage, name: str) -> None:
    """List a file in enclave.json; ``changed`` tells what it is."""
    image.describe(
        lambda document: document.update(files=dict(sorted({**document["files"], name: {}}.items())))
    )


def add_host_file(image: TamperedImage, name: str) -> None:
    """Add a library to those of the loader, and describe it."""
    put(image, -2, file(f".enclave/gramine/host/{name}", EVIL, 0o444, mtime=0))
    describe(image, f"gramine/host/{name}")


def without(image: TamperedImage, name: str) -> None:
    """Remove a file and its description."""
    image.change(f".enclave/{name}", lambda _: None)
    image.describe(lambda document: document["files"].pop(name))


def test_without_a_word_about_the_outside_it_is_not_checked(lab: Lab, built: Path) -> None:
    done = verify(lab, built, "--format", "json", code=6)
    assert "outside of the enclave: NOT checked" in done.stderr
    assert "--toolchain" in done.stderr
    assert "--host-files" in done.stderr
    verdict = json.loads(done.stdout)
    assert verdict["outside"] == "NOT checked"
    assert verdict["trusted"] is False
    assert verdict["objections"] == []
    assert verify(lab, built, "--format", "outside", code=6).stdout == "NOT checked\n"


def test_objections_come_first(lab: Lab, built: Path) -> None:
    done = verify(lab, built, "--signer", "ab" * 32, "--min-svn", "1", code=4)
    assert "security version is 0, lower than 1" in done.stderr


def test_the_toolchain_or_its_digests_will_do(lab: Lab, built: Path, pins: Path, tmp_path: Path) -> None:
    for options in (("--toolchain", lab.toolchain), ("--host-files", pins)):
        assert json.loads(verify(lab, built, *options, "--format", "json", code=0).stdout)["trusted"] is True
    policy = tmp_path / "policy.toml"
    policy.write_text(f'host_files = ["{pins}"]\n')
    verify(lab, built, "--policy", policy, code=0)


def test_of_several_files_one_must_fit_wholly(lab: Lab, built: Path, pins: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    lines = pins.read_text().splitlines(keepends=True)
    other.write_text("".join(lines[:-1]))
    more = tmp_path / "more"
    more.write_text("".join(lines) + f"{'0' * 64}  gramine/host/libmore.so\n")
    rest = tmp_path / "rest"
    rest.write_text(lines[-1])
    verify(lab, built, "--host-files", other, "--host-files", pins, code=0)
    done = verify(lab, built, "--host-files", other, "--host-files", rest, "--host-files", more, code=4)
    for path in (other, more, rest):
        assert f"not those of {path}: " in done.stderr
    assert "gramine/host/libmore.so is missing" in done.stderr
    own = tmp_path / "own"
    own.write_text(lab.converter.run("toolchain", "digests", "--libos", "builtin").stdout)
    verify(lab, built, "--host-files", own, code=6)  # it says nothing about Gramine's files


@pytest.mark.parametrize("known", ["toolchain", "pins"])
def test_every_file_outside_is_compared(
    lab: Lab, built: Path, pins: Path, tmp_path: Path, known: str
) -> None:
    options = ("--toolchain", lab.toolchain) if known == "toolchain" else ("--host-files", pins)
    image = TamperedImage(built, tmp_path / "copy")
    paths = [
        member.path
        for member in image.layers[-2]
        if member.data and (member.path.startswith((*NOT_MEASURED, ".enclave/gramine/runtime/")))
    ]
    assert len(paths) > 8
    for path in paths:
        image = TamperedImage(built, tmp_path / "copy")
        image.change_data(path, lambda _: EVIL)
        image.redescribe()
        image.save()
        done = verify(lab, tmp_path / "copy", *options, code=4)
        assert path.removeprefix(".enclave/") in done.stderr


def test_no_file_may_be_added(lab: Lab, built: Path, tmp_path: Path) -> None:
    copy = changed(built, tmp_path / "copy", lambda image: add_host_file(image, "libevil.so"))
    done = verify(lab, copy, "--toolchain", lab.toolchain, code=4)
    assert "libevil.so is not among its files" in done.stderr


def test_no_file_may_be_left_out(lab: Lab, built: Path, tmp_path: Path) -> None:
    if not list(lab.toolchain.rglob("runtime/musl/libc.so")):
        pytest.skip("this Gramine was built without musl, whose C library nothing of the image names")
    copy = changed(built, tmp_path / "copy", lambda image: without(image, "gramine/runtime/musl/libc.so"))
    assert "libc.so is missing" in verify(lab, copy, "--toolchain", lab.toolchain, code=4).stderr


def test_another_runelet_is_refused_with_and_without_a_toolchain(
    lab: Lab, built: Path, tmp_path: Path
) -> None:
    copy = changed(
        built, tmp_path / "copy", lambda image: image.change_data(".enclave/bin/runelet", lambda _: EVIL)
    )
    for options in ((), ("--toolchain", lab.toolchain)):
        done = verify(lab, copy, *options, code=4)
        assert "/.enclave/bin/runelet, which runs outside of the enclave" in done.stderr


def test_another_release_is_another(lab: Lab, built: Path, tmp_path: Path) -> None:
    prefix = stand_in_gramine(tmp_path / "other", musl=False)
    assert "not those of the toolchain" in verify(lab, built, "--toolchain", prefix, code=4).stderr

    def lie(image: TamperedImage) -> None:
        image.describe(lambda document: document["libos"].update(version="1.9.7"))
        for place in (image.config["config"]["Labels"], image.manifest["annotations"]):
            place["org.enclavize.libos.version"] = "1.9.7"

    copy = changed(built, tmp_path / "copy", lie)
    done = verify(lab, copy, "--toolchain", lab.toolchain, code=4)
    assert re.search(r"it has version 1\.\d, enclave\.json says '1\.9\.7'", done.stderr)


def test_a_release_with_a_known_flaw_is_objected_to(lab: Lab, built: Path, tmp_path: Path) -> None:
    def old(image: TamperedImage) -> None:
        image.describe(lambda document: document["libos"].update(version="1.6.1"))
        for place in (image.config["config"]["Labels"], image.manifest["annotations"]):
            place["org.enclavize.libos.version"] = "1.6.1"

    copy = changed(built, tmp_path / "copy", old)
    done = verify(lab, copy, code=4)
    assert "gramine-trusted-files-fork" in done.stderr
    assert "fixed in 1.6.2" in done.stderr
    verify(lab, copy, "--allow-flaw", "gramine-trusted-files-fork", code=6)


@pytest.mark.parametrize(
    ("defaults", "message"),
    [
        (b"VLD_PRELOAD=/evil.so\0", "'LD_PRELOAD', which the host may not set"),
        (b"VTOKEN=a\0", "'TOKEN'"),
        (b"A-x\0", "arguments, which the enclave does not take from the host"),
        (b"Cshow\0", "arguments, which the enclave does not take from the host"),
        (b"X\0", "of no known kind"),
        (b"VLINES\0", "of no known kind"),
        (b"", "of no known kind"),
    ],
)
def test_defaults_open_no_more_than_the_manifest(
    lab: Lab, built: Path, tmp_path: Path, defaults: bytes, message: str
) -> None:
    def set_defaults(image: TamperedImage) -> None:
        put(image, -1, file(".enclave/instance/defaults", defaults, 0o444, mtime=0))
        describe(image, "instance/defaults")

    done = verify(lab, changed(built, tmp_path / "copy", set_defaults), "--toolchain", lab.toolchain, code=1)
    assert "/.enclave/instance/defaults" in done.stderr
    assert message in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (tell(User=None), "runs as '', which is 0:0, the enclave as 7:8"),
        (tell(User="root"), "runs as 'root'"),
        (tell(StopSignal="SIGKILL"), "stop signal 'SIGKILL'"),
        (tell(StopSignal="SIGUSR1"), "stop signal 'SIGUSR1'"),
        (tell(Healthcheck={"Test": ["CMD", "/usr/bin/probe"]}), "health check"),
        (tell(Volumes={"/.enclave/gramine/host": {}}), "would hide its enclave"),
        (tell(OnBuild=["RUN x"]), "'OnBuild'"),
    ],
)
def test_what_engines_are_told_is_compared(
    lab: Lab, built: Path, tmp_path: Path, change: Callable[[TamperedImage], object], message: str
) -> None:
    copy = changed(built, tmp_path / "copy", change)
    assert message in verify(lab, copy, "--toolchain", lab.toolchain, code=1).stderr


def test_what_gramine_lacks_is_left_out_of_the_image(lab: Lab, members: list[Any], tmp_path: Path) -> None:
    config = {
        "Entrypoint": ["/usr/bin/probe"], "StopSignal": "SIGQUIT", "User": "app",
        "Healthcheck": {"Test": ["CMD", "/usr/bin/probe"], "Interval": 7},
    }  # fmt: skip
    layout = lab.build(lab.image("lacking", members, config), "lacking")
    told = TamperedImage(layout, tmp_path / "copy").config["config"]
    assert told["StopSignal"] == "SIGTERM"
    assert told["Healthcheck"] == {"Test": ["NONE"], "Interval": 7}
    assert told["User"] == "app"
    lab.verify(layout)
