"""Instance directories: new, build, package and print do what Occlum's command does.

With ENCLAVIZE_OCCLUM_TOOLCHAIN the files are those of a real Occlum, otherwise of a stand-in.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.libos.occlum.sefs.keys import parse_mac, read_image_key
from enclavize.libos.occlum.sefs.unpack import unpack, verify
from enclavize.sgx.enclave_file import load_config, measure_enclave, read_signed
from support.stand_in_toolchain import stand_in_occlum

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from integration.occlum.conftest import Converter

pytestmark = pytest.mark.integration


@pytest.fixture
def instance(converter: Converter) -> Path:
    """Return a new instance with a program in it."""
    converter.command.run("occlum", "new", "instance", "--toolchain", converter.toolchain)
    folder = converter.command.base / "instance"
    (folder / "image" / "bin" / "app").write_bytes(b"a program")
    return folder


@pytest.fixture
def build(converter: Converter, instance: Path) -> Callable[..., str]:
    """Return what builds it and returns what was printed."""

    def run(*options: str | Path, code: int = 0, key: bool = True) -> str:
        signing = ("--sign-key", converter.key) if key else ()
        done = converter.command.run(
            "occlum", "build", "-C", instance, "--toolchain", converter.toolchain, *signing, *options,
            code=code,
        )  # fmt: skip
        return done.stderr if code else done.stdout.strip()

    return run


def configure(instance: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change Occlum.json."""
    path = instance / "Occlum.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def _update_metadata(change: dict[str, Any], document: dict[str, Any]) -> None:
    document["metadata"].update(change)


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_a_new_instance_has_occlums_libraries_and_no_debugging(instance: Path) -> None:
    assert (instance / ".__occlum_status").read_text() == "initialized\n"
    assert json.loads((instance / "Occlum.json").read_text())["metadata"]["debuggable"] is False
    assert (instance / "image" / "lib" / "ld-musl-x86_64.so.1").is_file()
    assert (instance / "image" / "lib64" / "ld-linux-x86-64.so.2").is_file()
    loader = instance / "image" / "opt" / "occlum" / "glibc" / "lib" / "ld-linux-x86-64.so.2"
    assert str(loader.readlink()) == "/lib64/ld-linux-x86-64.so.2"
    assert (instance / "initfs" / "bin" / "init").stat().st_mode & 0o111
    assert (instance / "initfs" / "etc" / "hosts").read_text() == "127.0.0.1   localhost\n"


def test_what_is_there_is_not_overwritten(converter: Converter, instance: Path) -> None:
    done = converter.command.run("occlum", "new", "instance", "--toolchain", converter.toolchain, code=2)
    assert "exists" in done.stderr


@pytest.mark.usefixtures("since_0_30")
def test_the_enclave_is_bound_to_both_images(
    instance: Path, build: Callable[..., str], converter: Converter
) -> None:
    mrenclave = build()
    made = instance / "build"
    signed = read_signed(made / "lib" / "libocclum-libos.signed.so")
    signed.verify()
    assert signed.sigstruct.mrenclave.hex() == mrenclave
    again = measure_enclave(made / "lib" / "libocclum-libos.so", load_config(made / "Enclave.xml"))
    assert again.measurement.mrenclave.hex() == mrenclave
    for image in ("mount", "initfs"):
        mac = parse_mac((made / image / ".ROOT_MAC").read_text().strip())
        verify(made / image / "__ROOT", root_mac=mac)
        assert mac.hex("-") in (made / ".Occlum_sys.json").read_text()
    for what, expected in (("mrenclave", mrenclave), ("mrsigner", signed.sigstruct.mrsigner.hex())):
        printed = converter.command.run("occlum", "print", what, "-C", instance).stdout
        assert printed == f"{expected}\n"


def test_the_directory_has_what_occlums_command_makes(instance: Path, build: Callable[..., str]) -> None:
    build()
    names = {str(path.relative_to(instance)) for path in instance.rglob("*")}
    assert {
        ".sgx_mode", ".__occlum_status", "run/mount/__ROOT", "run/initfs/__ROOT", "build/image_config.json",
        "build/.Occlum_sys.json", "build/.Occlum_sys.json.protected", "build/Enclave.xml",
        "build/bin/occlum-run", "build/bin/occlum_exec_client", "build/bin/occlum_exec_server",
        "build/lib/libocclum-libos.so.0", "build/lib/libocclum-pal.so.0", "build/lib/libocclum-pal.so",
        "build/lib/libocclum-libos.signed.so",
    } <= names  # fmt: skip
    assert (instance / ".__occlum_status").read_text() == "built\n"
    assert (instance / "build" / "lib" / "libocclum-pal.so").resolve().is_file()


def test_two_builds_are_identical_and_one_byte_makes_another_enclave(
    instance: Path, build: Callable[..., str]
) -> None:
    first = build()
    files = contents(instance / "build")
    assert build("-f") == first
    assert contents(instance / "build") == files
    (instance / "image" / "bin" / "app").write_bytes(b"a progran")
    second = build()
    assert second != first
    (instance / "initfs" / "etc" / "hosts").write_bytes(b"\n")
    assert build() not in {first, second}


@pytest.mark.usefixtures("since_0_30")
def test_an_encrypted_image_opens_with_its_key_alone(
    instance: Path, build: Callable[..., str], converter: Converter, tmp_path: Path
) -> None:
    key = converter.command.base / "image.key"
    converter.command.run("occlum", "gen-image-key", key)
    assert key.stat().st_mode & 0o777 == 0o600
    assert "exists" in converter.command.run("occlum", "gen-image-key", key, code=2).stderr
    assert build("--image-key", key) != build("--image-key", key)
    unpack(instance / "build" / "mount" / "__ROOT", tmp_path / "root", key=read_image_key(key))
    assert (tmp_path / "root" / "bin" / "app").read_bytes() == b"a program"
    unpack(instance / "build" / "initfs" / "__ROOT", tmp_path / "plain")
    assert not (tmp_path / "plain" / "etc" / "image_key").exists()
    assert json.loads((tmp_path / "plain" / "etc" / "image_config.json").read_text()) == {
        "image_type": "encrypted"
    }
    build("--image-key", key, "--buildin-image-key")
    unpack(instance / "build" / "initfs" / "__ROOT", tmp_path / "with")
    assert (tmp_path / "with" / "etc" / "image_key").read_bytes() == key.read_bytes()


def test_a_simulation_is_built_of_other_libraries_and_not_packed(
    instance: Path, build: Callable[..., str], converter: Converter
) -> None:
    build("--sgx-mode", "SIM")
    assert (instance / ".sgx_mode").read_text() == "SIM\n"
    assert "_sim" in str((instance / "build" / "lib" / "libocclum-pal.so").resolve())
    done = converter.command.run("occlum", "package", "-C", instance, code=4)
    assert "the instance is for 'SIM', not for SGX" in done.stderr
    converter.command.run("occlum", "package", "-C", instance, "--debug")


@pytest.mark.usefixtures("since_0_30")
def test_edmm_makes_another_enclave(instance: Path, build: Callable[..., str]) -> None:
    without = build()
    assert build("--enable-edmm", "Y") != without
    said = build("--enable-edmm", "Y", "--sgx-mode", "SIM", code=2)
    assert "EDMM and simulation contradict each other" in said
    assert load_config(instance / "build" / "Enclave.xml").user_region_size == 17 << 30


def test_a_package_is_the_same_each_time_and_has_what_runs(
    instance: Path, build: Callable[..., str], converter: Converter
) -> None:
    build()
    packages = []
    for _ in range(2):
        converter.command.run("occlum", "package", "app", "-C", instance)
        packages.append((instance / "app.tar.gz").read_bytes())
    assert packages[0] == packages[1]
    with tarfile.open(instance / "app.tar.gz") as archive:
        names = {member.name for member in archive}
    assert {
        "app/Occlum.json", "app/.sgx_mode", "app/build/lib/libocclum-libos.signed.so",
        "app/build/lib/libocclum-pal.so", "app/build/.Occlum_sys.json.protected",
        "app/build/mount/__ROOT/metadata", "app/build/initfs/__ROOT/metadata", "app/run/mount/__ROOT",
        "app/initfs/bin/init", "app/build/bin/occlum-run",
    } <= names  # fmt: skip
    assert not [name for name in names if name.startswith("app/image") or name.endswith("Enclave.xml")]


def test_a_debuggable_instance_is_only_packed_if_that_is_asked_for(
    instance: Path, build: Callable[..., str], converter: Converter
) -> None:
    configure(instance, lambda document: document["metadata"].update(debuggable=True))
    build(key=False)
    for debuggable in (True, False):  # the enclave counts, whatever Occlum.json says later
        change = {"debuggable": debuggable}
        configure(instance, partial(_update_metadata, change))
        done = converter.command.run("occlum", "package", "-C", instance, code=4)
        assert "the instance is debuggable" in done.stderr
    converter.command.run("occlum", "package", "-C", instance, "--debug")


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ((), lambda document: document["metadata"].update(product_id=-1), "product_id is -1"),
        ((), lambda document: document.update(entry_points=[]), "entry_points is empty"),
        (("--buildin-image-key",), None, "--buildin-image-key needs a key"),
        (("--sign-key", "/nowhere.pem"), None, "cannot read the key /nowhere.pem"),
    ],
)
def test_a_build_that_cannot_be_leaves_the_last_one_as_it_is(
    instance: Path,
    build: Callable[..., str],
    options: tuple[str, ...],
    change: Callable[[dict[str, Any]], None] | None,
    message: str,
) -> None:
    build()
    before = contents(instance / "build")
    if change:
        configure(instance, change)
    assert message in build(*options, code=2, key="--sign-key" not in options)
    assert contents(instance / "build") == before
    assert not list(instance.glob(".build.*"))


def test_a_name_that_occlum_cannot_hold_leaves_the_last_build(
    instance: Path, build: Callable[..., str]
) -> None:
    build()
    before = contents(instance / "build")
    (instance / "image" / b"\xff.txt".decode("utf-8", "surrogateescape")).write_text("x")
    assert "the name is not UTF-8" in build(code=3)
    assert contents(instance / "build") == before


def test_without_a_key_nothing_but_debug_instances_is_signed(build: Callable[..., str]) -> None:
    assert "there is no key to sign it with" in build(key=False, code=2)


def test_another_folder_is_no_instance(converter: Converter, tmp_path: Path) -> None:
    for arguments in (
        ("build", "-C", tmp_path, "--toolchain", converter.toolchain),
        ("package", "-C", tmp_path),
        ("print", "mrenclave", "-C", tmp_path),
    ):
        assert converter.command.run("occlum", *arguments, code=2).stderr


def test_the_releases_before_0_29_6_have_two_configurations(converter: Converter, tmp_path: Path) -> None:
    toolchain = stand_in_occlum(tmp_path / "occlum", "0.21.0")
    converter.command.run("occlum", "new", "old", "--toolchain", toolchain)
    old = converter.command.base / "old"
    converter.command.run("occlum", "build", "-C", old, "--toolchain", toolchain, "--sign-key", converter.key)
    made = old / "build"
    root, init = ((made / image / ".ROOT_MAC").read_text().strip() for image in ("mount", "initfs"))
    assert root in (made / "Occlum.json").read_text()
    assert init in (made / ".Occlum_sys.json").read_text()
    unpack(made / "initfs" / "__ROOT", tmp_path / "init")
    assert list(json.loads((tmp_path / "init" / "etc" / "image_config.json").read_text())) == [
        "occlum_json_mac"
    ]
    converter.command.run("occlum", "package", "-C", old)
    with tarfile.open(old / "old.tar.gz") as archive:
        assert "old/build/Occlum.json.protected" in archive.getnames()
    shutil.rmtree(old)


def test_a_mount_without_its_folder_is_refused_before_anything_is_written(
    instance: Path, build: Callable[..., str]
) -> None:
    mount = {"target": "/new/dir", "type": "ramfs"}
    configure(instance, lambda document: document["mount"].append(mount))
    before = sorted(path.name for path in instance.iterdir())
    assert "mounted at /new/dir, which is no folder of the root file system" in build(code=2)
    assert sorted(path.name for path in instance.iterdir()) == before
    (instance / "image" / "new" / "dir").mkdir(parents=True)
    build()


def test_many_files_want_more_than_the_template_gives(converter: Converter, instance: Path) -> None:
    for number in range(1100):
        (instance / "image" / "root" / str(number)).touch()
    command = (
        "occlum",
        "build",
        "-C",
        instance,
        "--toolchain",
        converter.toolchain,
        "--sign-key",
        converter.key,
    )
    said = converter.command.run(*command).stderr
    assert 'kernel_space_heap_size of Occlum.json: "36MB"' in said
    assert "open files must be allowed" in said
    configure(instance, lambda document: document["resource_limits"].update(kernel_space_heap_size="36MB"))
    assert "kernel_space_heap_size" not in converter.command.run(*command).stderr
