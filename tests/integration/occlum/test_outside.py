"""Images of Occlum: what its PAL must be, how weak their root file system is, what engines are told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from support.images import directory, file
from support.tampering import TamperedImage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from integration.occlum.conftest import Converter
    from support.command import Done
    from support.images import Member

pytestmark = pytest.mark.integration

INSTANCE = ".enclave/instance"
PAL = f"{INSTANCE}/build/lib/libocclum-pal.so"
WEAK = "root file system: integrity only, no protection against a determined host"


@pytest.fixture
def built(converter: Converter, make: Callable[..., str]) -> Path:
    """Return the layout of a TEE image."""
    return converter.command.base / converter.build(make(), "tee").rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Lab:
    """Builds images and verifies them with the toolchain of the build, weak as they are."""

    converter: Converter
    make: Callable[..., str]
    copy: Path

    def build(self, members: list[Member] | None = None, **config: Any) -> Path:
        """Build an image with more files and another configuration; return its layout."""
        name = self.converter.build(self.make(members or [], **config), "tee")
        return self.converter.command.base / name.rpartition("/")[2]

    def verify(self, layout: Path, *, code: int) -> Done:
        """Verify a layout."""
        options = ("--toolchain", self.converter.toolchain, "--allow-integrity-only")
        return verify(self.converter, layout, *options, code=code)


@pytest.fixture
def lab(converter: Converter, make: Callable[..., str], tmp_path: Path) -> Lab:
    """Return a laboratory."""
    return Lab(converter=converter, make=make, copy=tmp_path / "copy")


def verify(converter: Converter, layout: Path, *options: str | Path, code: int) -> Done:
    key = converter.key.with_name("key.pub.pem")
    return converter.command.run("verify", f"oci:{layout}", "--signer", key, *options, code=code)


def changed(built: Path, copy: Path, change: Callable[[TamperedImage], object]) -> Path:
    """Change a copy, and let enclave.json tell what it has now."""
    image = TamperedImage(built, copy)
    change(image)
    image.redescribe()
    image.save()
    return copy


def test_an_image_without_key_is_weak(converter: Converter, built: Path, tmp_path: Path) -> None:
    toolchain = ("--toolchain", converter.toolchain)
    done = verify(converter, built, *toolchain, "--format", "json", code=4)
    assert WEAK in done.stderr
    verdict = json.loads(done.stdout)
    assert verdict["rootfs"] == "integrity only"
    assert verdict["objections"] == [WEAK]
    assert verdict["trusted"] is False
    done = verify(converter, built, *toolchain, "--allow-integrity-only", "--format", "json", code=0)
    assert (json.loads(done.stdout)["rootfs"], json.loads(done.stdout)["trusted"]) == ("integrity only", True)
    policy = tmp_path / "policy.toml"
    policy.write_text("allow_integrity_only = true\n")
    verify(converter, built, *toolchain, "--policy", policy, code=0)
    policy.write_text("allow_integrity_only = false\n")
    verify(converter, built, *toolchain, "--policy", policy, code=4)


@pytest.mark.usefixtures("since_0_30")
def test_a_key_that_everybody_has_is_no_better(converter: Converter, make: Callable[..., str]) -> None:
    converter.command.run("occlum", "gen-image-key", "image.key")
    key = ("--image-key", converter.command.base / "image.key")
    toolchain = ("--toolchain", converter.toolchain)
    converter.build(make(), "own-init", *key)
    done = verify(converter, converter.command.base / "own-init", *toolchain, "--format", "rootfs", code=0)
    assert done.stdout == "bound\n"
    converter.build(make(), "built-in", *key, "--builtin-image-key")
    done = verify(converter, converter.command.base / "built-in", *toolchain, code=4)
    assert "its key is in the image, no protection against a determined host" in done.stderr
    verify(converter, converter.command.base / "built-in", *toolchain, "--allow-integrity-only", code=0)


def test_the_pal_is_compared(converter: Converter, built: Path, tmp_path: Path) -> None:
    pins = tmp_path / "pins"
    digests = ("toolchain", "digests", converter.toolchain, "--libos", "occlum")
    pins.write_text(converter.command.run(*digests).stdout)
    weak = "--allow-integrity-only"
    assert "outside of the enclave: NOT checked" in verify(converter, built, weak, code=6).stderr
    verify(converter, built, weak, "--toolchain", converter.toolchain, code=0)
    verify(converter, built, weak, "--host-files", pins, code=0)
    evil = changed(built, tmp_path / "copy", lambda image: image.change_data(PAL, lambda _: b"\x7fELF evil"))
    for options in (("--toolchain", converter.toolchain), ("--host-files", pins)):
        done = verify(converter, evil, weak, *options, code=4)
        assert "instance/build/lib/libocclum-pal.so is another file" in done.stderr


def tell(**members: Any) -> Callable[[TamperedImage], object]:
    """Return what sets members of the image's ``config``; None removes."""

    def change(image: TamperedImage) -> None:
        execution = image.config["config"]
        for name, value in members.items():
            execution.pop(name, None)
            execution |= {} if value is None else {name: value}

    return change


@pytest.mark.parametrize(
    ("source", "told", "lies"),
    [
        ({}, (None, "SIGTERM"), [{"User": "0"}, {"User": "1000"}, {"StopSignal": "SIGKILL"}]),
        (
            {"User": "app", "StopSignal": "SIGKILL"},
            ("7:8", "SIGKILL"),
            [{"User": "7"}, {"User": "app"}, {"User": None}, {"StopSignal": "SIGTERM"}, {"StopSignal": None}],
        ),
        ({"User": "1000:5", "StopSignal": "SIGUSR1"}, ("1000:5", "SIGTERM"), [{"User": "0:0"}]),
    ],
)
def test_user_and_stop_signal_are_in_the_init_file_system(
    lab: Lab, source: dict[str, Any], told: tuple[str | None, str], lies: list[dict[str, Any]]
) -> None:
    passwd = [directory("etc"), file("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:7:8::/srv:/bin/sh\n")]
    layout = lab.build(passwd, **source)
    lab.verify(layout, code=0)
    execution = TamperedImage(layout, lab.copy).config["config"]
    assert (execution.get("User"), execution.get("StopSignal")) == told
    for lie in lies:
        done = lab.verify(changed(layout, lab.copy, tell(**lie)), code=1)
        assert "runs as" in done.stderr or "stop signal" in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (tell(Entrypoint=None, Cmd=["/usr/bin/app", "--serve", "now"]), "entrypoint"),
        (tell(Entrypoint=["/usr/bin/app", "--serve", "now"], Cmd=None), "entrypoint"),
        (tell(Cmd=["later"]), "command"),
        (tell(Env=["ENCLAVE_RUNTIME_PATH=/evil.so"]), "environment"),
        (tell(Healthcheck={"Test": ["CMD", "/usr/bin/app"]}), "health check"),
        (tell(Volumes={"/run/rune": {}}), "would hide its enclave"),
        (tell(Volumes={"/run/rune/occlum_instance/build": {}}), "would hide its enclave"),
        (tell(Volumes={"/run": {}}), "would hide its enclave"),
        (tell(Shell=["/bin/sh"]), "'Shell'"),
    ],
)
def test_what_engines_are_told_is_compared(
    lab: Lab, change: Callable[[TamperedImage], object], message: str
) -> None:
    assert message in lab.verify(changed(lab.build(), lab.copy, change), code=1).stderr


@pytest.mark.parametrize("name", [".sgx_mode", ".__occlum_status"])
def test_files_for_occlums_own_command_are_as_built(lab: Lab, name: str) -> None:
    path = f"{INSTANCE}/{name}"
    copy = changed(lab.build(), lab.copy, lambda image: image.change_data(path, lambda _: b"SIM\n"))
    assert f"/{path} is not as a build writes it" in lab.verify(copy, code=1).stderr


def _facts(converter: Converter, layout: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        converter.command.run("inspect", f"oci:{layout}", "--format", "json").stdout
    )
    return found


def test_images_for_simulation_are_told(lab: Lab, make: Callable[..., str]) -> None:
    converter, base = lab.converter, lab.converter.command.base
    converter.build(make(), "simulation", "--sgx-mode", "SIM")
    layout, options = base / "simulation", ("--toolchain", converter.toolchain, "--allow-integrity-only")
    assert _facts(converter, layout)["simulation"] is True
    labels = TamperedImage(layout, lab.copy).config["config"]["Labels"]
    assert labels["org.enclavize.simulation"] == "true"
    said = verify(converter, layout, *options, code=4).stderr
    assert "it is for simulation alone: it protects nothing" in said
    verify(converter, layout, *options, "--allow-simulation", code=0)


def test_images_for_hardware_say_nothing_of_simulation(lab: Lab, built: Path) -> None:
    assert "simulation" not in _facts(lab.converter, built)
    labels = TamperedImage(built, lab.copy).config["config"]["Labels"]
    assert "org.enclavize.simulation" not in labels


def test_images_for_simulation_are_not_for_production(converter: Converter, make: Callable[..., str]) -> None:
    said = converter.build(make(), "none", "--sgx-mode", "SIM", "--production", code=4)
    assert "for simulation, which protects nothing" in said


@pytest.mark.parametrize("simulation", [True, False])
def test_the_mode_is_that_of_the_enclave(lab: Lab, make: Callable[..., str], *, simulation: bool) -> None:
    lab.converter.build(make(), "tee", *(["--sgx-mode", "SIM"] if simulation else []))
    image = TamperedImage(lab.converter.command.base / "tee", lab.copy)

    def lie(document: dict[str, Any]) -> None:
        members = {name: value for name, value in document.items() if name != "simulation"}
        document.clear()
        for name, value in members.items():
            document[name] = value
            if name == "debug" and not simulation:
                document["simulation"] = True

    image.describe(lie)
    image.save()
    said = lab.verify(lab.copy, code=1).stderr
    told, found = ("hardware", "simulation") if simulation else ("simulation", "hardware")
    assert f"says that the enclave is for {told}, and it is for {found}" in said
