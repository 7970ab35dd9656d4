"""Builds with toolchains from folders, registries and the user's store, and with configuration files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.images import build_image, directory, file, symlink, write_layout, write_oci_archive
from support.programs import busybox
from support.stand_in_toolchain import gramine_toolchain

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Command
    from support.images import BuiltImage, Member


@pytest.fixture(scope="module")
def gramine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a toolchain."""
    return gramine_toolchain(tmp_path_factory.mktemp("gramine") / "prefix")


@pytest.fixture(scope="module")
def gramine_image(gramine: Path) -> BuiltImage:
    """Give an image with the toolchain, and the libraries of a distribution below it."""
    host = ("lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6")
    libraries = [file(name, (Path("/") / name).read_bytes(), mode=0o755) for name in host]
    protobuf = Path("/usr/lib/x86_64-linux-gnu/libprotobuf-c.so.1")
    if protobuf.exists():  # a real toolchain does not bring its own
        libraries.append(file(str(protobuf)[1:], protobuf.read_bytes(), mode=0o755))
    return build_image([libraries, [_member(path, gramine) for path in sorted(gramine.rglob("*"))]])


def _member(path: Path, root: Path) -> Member:
    name = f"usr/local/{path.relative_to(root)}"
    if path.is_symlink():
        return symlink(name, str(path.readlink()))
    return directory(name) if path.is_dir() else file(name, path.read_bytes(), path.stat().st_mode & 0o777)


@pytest.fixture
def source(command: Command) -> str:
    """Give an ordinary image."""
    image = build_image(
        [[directory("bin"), file("bin/busybox", busybox().read_bytes(), 0o755)]],
        config={"Entrypoint": ["/bin/busybox"], "Cmd": ["true"]},
        change_config={"created": "2026-05-06T07:08:09Z"},
    )
    return f"oci:{write_layout(command.base / 'source', {'1': image})}:1"


def built(command: Command, source: str, *options: str | Path) -> dict[str, Any]:
    """Build for Gramine; return what ``inspect`` says."""
    command.run("build", source, *options, "-q", "-o", "type=oci,dest=tee.tar")
    facts: dict[str, Any] = json.loads(
        command.run("inspect", "oci-archive:tee.tar", "--format", "json").stdout
    )
    return facts


def test_every_way_to_name_a_toolchain_gives_the_same_image(
    command: Command,
    source: str,
    gramine: Path,
    gramine_image: BuiltImage,
    push: Callable[[BuiltImage, str], str],
) -> None:
    reference = push(gramine_image, "gramine/gramine:1.9")
    archive = write_oci_archive(command.base / "g.tar", {"1": gramine_image}, command.base / "scratch")
    command.run("toolchain", "import", reference, "--name", "mine")
    digests = {
        built(command, source, "--libos", "gramine", "--toolchain", name)["digest"]
        for name in (gramine, reference, f"oci-archive:{archive}:1", "mine")
    }
    assert len(digests) == 1
    kept = json.loads(command.run("toolchain", "list", "--format", "json").stdout)
    assert [(row["name"], row["libos"]) for row in kept] == [("mine", "gramine")]
    assert reference in kept[0]["origin"]


def test_a_toolchain_from_a_registry_is_fetched_once(
    command: Command, gramine_image: BuiltImage, push: Callable[[BuiltImage, str], str]
) -> None:
    reference = push(gramine_image, "gramine/once:1")
    first = command.run("toolchain", "inspect", reference, "--format", "json", "--progress", "plain")
    assert "read the toolchain from layer" in first.stderr
    second = command.run("toolchain", "inspect", reference, "--format", "json", "--progress", "plain")
    assert "read the toolchain from layer" not in second.stderr
    assert second.stdout == first.stdout


def test_another_toolchain_gives_another_result(command: Command, source: str, tmp_path: Path) -> None:
    from support.stand_in_toolchain import PACKAGE, stand_in_gramine

    prefix = stand_in_gramine(tmp_path / "prefix")
    before = built(command, source, "--libos", "gramine", "--toolchain", prefix)
    with (prefix / PACKAGE / "libsysdb.so").open("ab") as libos:
        libos.write(b"!")
    after = built(command, source, "--libos", "gramine", "--toolchain", prefix)
    assert before["mrenclave"] != after["mrenclave"]


def test_a_build_stops_at_missing_files(command: Command, source: str, tmp_path: Path) -> None:
    from support.stand_in_toolchain import PACKAGE, stand_in_gramine

    prefix = stand_in_gramine(tmp_path / "prefix")
    loader = prefix / PACKAGE / "sgx" / "loader"
    loader.write_bytes(loader.read_bytes().replace(b"libprotobuf-c.so.1", b"libnowhere-x.so.99"))
    arguments = ("build", source, "--libos", "gramine", "--toolchain", prefix, "-o", "type=oci,dest=x.tar")
    done = command.run(*arguments, code=2)
    assert "has no host/libnowhere-x.so.99; looked for it in" in done.stderr
    assert "install the library here, or take an image that has it" in done.stderr
    loader.unlink()
    done = command.run(*arguments, code=2)
    assert f"has no sgx/loader; looked for it in {prefix}" in done.stderr
    assert not (command.base / "x.tar").exists()


def test_without_a_toolchain_the_machine_is_looked_at(
    command: Command, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.stand_in_toolchain import stand_in_gramine

    machine = tmp_path / "machine"
    machine.mkdir()
    monkeypatch.setattr("enclavize.pipeline.toolchain.MACHINE", machine)
    arguments = ("build", source, "--libos", "gramine", "-o", "type=oci,dest=x.tar")
    done = command.run(*arguments, code=2)
    assert "needs an installation of Gramine, and this machine has none" in done.stderr
    assert f"{machine}/usr/local/{{lib/x86_64-linux-gnu,lib64,lib}}/gramine/libsysdb.so" in done.stderr
    assert "--toolchain" in done.stderr
    stand_in_gramine(machine / "opt" / "gramine")
    done = command.run(*arguments, code=2)
    assert f"the toolchain {machine} (Gramine 1.9) has no host/ld-linux-x86-64.so.2" in done.stderr
    for name in ("lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6"):
        (machine / name).parent.mkdir(parents=True, exist_ok=True)
        (machine / name).write_bytes((Path("/") / name).read_bytes())
    command.run(*arguments)


def test_a_configuration_file_gives_the_options(command: Command, source: str, gramine: Path) -> None:
    (command.base / "enclavize.toml").write_text(
        f"""
        libos = "graphene"
        toolchain = "{gramine}"
        isvsvn = 3
        label = {{ "org.example.team" = "a" }}
        [resources]
        threads = 7
        [policy]
        allow-env = ["TZ"]
        [gramine]
        sgx.edmm_enable = true
        """
    )
    facts = built(command, source, "--config", "enclavize.toml")
    assert (facts["libos"]["name"], facts["isvsvn"]) == ("gramine", 3)
    assert facts["measured"]["sgx"]["edmm_enable"] is True
    assert "TZ" in json.dumps(facts["policy"]["env"])
    assert built(command, source, "--config", "enclavize.toml", "--isvsvn", "4")["isvsvn"] == 4
    assert built(command, source)["libos"]["name"] == "builtin"


def test_what_is_wrong_in_the_file_stops_the_build(command: Command, source: str) -> None:
    path = command.base / "enclavize.toml"
    path.write_text("libos = 'unikraft'\n")
    done = command.run("build", source, "--config", path, "-o", "type=oci,dest=x.tar", code=2)
    assert f"{path}, line 1: 'unikraft' is no LibOS" in done.stderr
    path.write_text("[gramine]\nsgx.nonsense = 1\n")
    command.run("build", source, "--config", path, "-o", "type=oci,dest=x.tar")  # for the builtin LibOS


def test_check_takes_the_version_of_the_toolchain(command: Command, source: str, gramine: Path) -> None:
    done = command.run("check", source, "--toolchain", gramine)
    assert "is checked as Gramine 1.9" in done.stderr
    done = command.run("check", source, "--toolchain", gramine, "--libos", "occlum", code=2)
    assert "not Occlum" in done.stderr
    done = command.run("check", source, "--toolchain", gramine, "--libos", "graphene@1.8", code=2)
    assert "not gramine@1.8" in done.stderr
    done = command.run("build", source, "--check", "--libos", "gramine", "--toolchain", gramine)
    assert "Gramine 1.9: runs" in done.stdout


def test_auto_chooses_between_builtin_and_the_toolchain(command: Command, source: str, gramine: Path) -> None:
    done = command.run(
        "build", source, "--libos", "auto", "--toolchain", gramine, "-o", "type=oci,dest=tee.tar",
        "--progress", "plain",
    )  # fmt: skip
    assert "choose a LibOS" in done.stderr
