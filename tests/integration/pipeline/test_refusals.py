"""What is refused: with one message, a hint, the right exit code, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.oci.digest import sha256_digest
from support.images import (
    Layer,
    build_image,
    build_layer,
    directory,
    file,
    symlink,
    tar_of,
    write_layout,
)
from support.programs import REPOSITORY, SAMPLES, static_musl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.command import Command
    from support.images import (
        BuiltImage,
    )
    from support.registry import Registry

pytestmark = pytest.mark.integration

OUTPUT = ("-o", "type=oci,dest=x.tar")
PT_GNU_STACK = 0x6474E551


@pytest.fixture
def source(tmp_path: Path, image: BuiltImage) -> str:
    return f"oci:{write_layout(tmp_path / 'layout', {'1': image})}"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ((), "no output"),
        (("--push",), "no name"),
        ((*OUTPUT, "--debug", "--production"), "contradict"),
        ((*OUTPUT, "--production"), "needs a key"),
        ((*OUTPUT, "--platform", "linux/arm64"), "linux/amd64 only"),
        ((*OUTPUT, "--platform", "x"), "not a platform"),
        ((*OUTPUT, "--libos", "gramine", "--toolchain", "/proc"), "holds no Gramine"),
        ((*OUTPUT, "--libos", "graphene", "--toolchain", "nothing"), "neither a kept toolchain"),
        ((*OUTPUT, "--libos", "occlum", "--toolchain", "/nowhere"), "no such folder"),
        ((*OUTPUT, "--toolchain", "/usr"), "needs no toolchain"),
        ((*OUTPUT, "--config", "missing.toml"), "cannot read the configuration missing.toml"),
        ((*OUTPUT, "--set", "kernel-heap=32M"), "builtin has no heap of its own"),
        ((*OUTPUT, "--libos", "nothing"), "--libos"),
        ((*OUTPUT, "--isvsvn", "65536"), "--isvsvn"),
        ((*OUTPUT, "--progress", "loud"), "--progress"),
        ((*OUTPUT, "-q", "--progress", "plain"), "contradict"),
        ((*OUTPUT, "--progress", "tty"), "terminal"),
        ((*OUTPUT, "--allow-env", "LD_PRELOAD"), "other code"),
        ((*OUTPUT, "--volume", "data"), "absolute"),
        ((*OUTPUT, "--set", "heap=1"), "no such setting"),
        ((*OUTPUT, "--key", "missing.pem"), "missing.pem"),
        ((*OUTPUT, "--passphrase-env", "X"), "no key"),
        (("-o", "type=oci,dest=no/such/folder.tar"), "no folder"),
        ((*OUTPUT, "--metadata-file", "no/such/file"), "no folder"),
        (("-o", "type=oci", "-o", "type=docker,dest=-"), "same place"),
        (("-o", "type=local,dest=d", "--iidfile", "iid"), "--iidfile"),
        ((*OUTPUT, "--no-such-option"), "--no-such-option"),
    ],
)
def test_contradictions_are_refused_before_any_work(
    command: Command, source: str, options: Sequence[str], word: str
) -> None:
    done = command.run("build", source, *options, code=2)
    assert word in done.stderr
    assert "index layer" not in done.stderr
    assert not (command.base / "x.tar").exists()


def test_an_old_image_id_does_not_outlive_a_failure(command: Command) -> None:
    (command.base / "iid").write_text("old")
    (command.base / "build.json").write_text("old")
    command.run("build", "oci:missing", *OUTPUT, "--iidfile", "iid", "--metadata-file", "build.json", code=1)
    assert not (command.base / "iid").exists()
    assert (command.base / "build.json").read_text() == "old"


def test_production_turns_doubts_about_protection_into_errors(
    command: Command, tmp_path: Path, key: Path
) -> None:
    program = with_executable_stack(Path("/bin/busybox").read_bytes())
    doubtful = build_image(
        [[directory("bin"), file("bin/busybox", program, 0o4755)]], config={"Cmd": ["/bin/busybox"]}
    )
    source = f"oci:{write_layout(tmp_path / 'layout', {'1': doubtful})}"
    warned = command.run("build", source, "--key", key, *OUTPUT).stderr
    assert "WARNING: OCC011" in warned  # setuid, which has no effect
    assert "WARNING: OCC026" in warned
    refused = command.run("build", source, "--key", key, "--production", *OUTPUT, code=4).stderr
    assert "--production: OCC026" in refused
    command.run("build", source, "--key", key, "--production", "--force", "OCC026", *OUTPUT)


def with_executable_stack(program: bytes) -> bytes:
    """Set PF_X in the PT_GNU_STACK of an ELF file (System V ABI, "Program Header")."""
    changed = bytearray(program)
    (table,), (size, count) = struct.unpack_from("<Q", changed, 32), struct.unpack_from("<HH", changed, 54)
    for at in range(table, table + size * count, size):
        (kind,) = struct.unpack_from("<I", changed, at)
        if kind == PT_GNU_STACK:
            changed[at + 4] |= 1
    return bytes(changed)


def test_a_key_that_everybody_can_read_is_refused(command: Command, source: str) -> None:
    command.run("keygen", "key.pem")
    command.run("build", source, "--key", "key.pem", *OUTPUT)
    (command.base / "key.pem").chmod(0o644)
    assert "key.pem" in command.run("build", source, "--key", "key.pem", *OUTPUT, code=4).stderr
    assert "never overwritten" in command.run("keygen", "key.pem", code=2).stderr


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "oci:x", "--signer", "{long}"),
        ("build", "oci:x", "-o", "type=oci,dest={long}"),
        ("build", "oci:x", *OUTPUT, "--config", "{long}"),
        ("keygen", "{long}"),
        ("setup", "docker", "--runtime-path", "{long}"),
        ("check", "dir:{long}"),
    ],
)
def test_a_name_that_no_file_can_have_is_refused(command: Command, words: Sequence[str]) -> None:
    assert "ERROR: " in command.run(*(word.format(long="a" * 300) for word in words), code=2).stderr


def test_a_tee_image_is_not_converted_again(command: Command, source: str) -> None:
    command.run("build", source, *OUTPUT)
    message = command.run("build", "oci-archive:x.tar", "-o", "type=oci,dest=y.tar", code=2).stderr
    assert "TEE image already" in message


def layout(tmp_path: Path, *layers: Layer, **config: object) -> str:
    made = build_image(layers, config={"Cmd": ["/bin/app"], **config})
    return f"oci:{write_layout(tmp_path / 'layout', {'1': made})}"


def test_an_image_with_our_folder_is_refused(command: Command, tmp_path: Path) -> None:
    source = layout(tmp_path, build_layer([directory(".enclave"), file("bin/app", "x", 0o755)]))
    assert "/.enclave" in command.run("build", source, *OUTPUT, code=2).stderr


def test_too_many_layers_are_refused_before_they_are_read(command: Command, tmp_path: Path) -> None:
    layers = [build_layer([file(f"file-{number}", "x")]) for number in range(126)]
    message = command.run("build", layout(tmp_path, *layers), *OUTPUT, code=3).stderr
    assert "126 layers" in message
    assert "index layer" not in message


def test_what_the_libos_cannot_run_is_refused_with_exit_code_3(command: Command, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({"Cmd": None}, "names no program"),
        ({}, "/bin/app"),
        ({"Cmd": ["/bin/text"]}, "neither an ELF"),
        ({"Cmd": ["/bin/text"], "WorkingDir": "/bin/text"}, "OCC013"),
        ({"WorkingDir": "/x" * 2048}, "OCC067"),
        ({"Env": [f"A={'x' * 65536}"]}, "OCC067"),
    ]
    for number, (config, word) in enumerate(cases):
        source = layout(
            tmp_path / str(number), build_layer([directory("bin"), file("bin/text", "x", 0o755)]), **config
        )
        assert word in command.run("build", source, *OUTPUT, code=3).stderr
        assert command.run("check", source, code=3).stdout.count("error") >= 1


def test_a_glibc_image_is_judged_by_the_version_of_occlum(command: Command, tmp_path: Path) -> None:
    program = Path("/bin/ls").resolve().read_bytes()
    source = layout(tmp_path, build_layer([directory("bin"), file("bin/app", program, 0o755)]))
    done = command.run("check", source, "--libos", "occlum@0.18.1", code=3)
    assert "OCC006  /bin/app is a glibc program" in done.stdout
    assert "ld-linux-x86-64.so.2" in done.stdout
    for arguments in (
        ("build", source, "--libos", "occlum", "--check"),
        ("check", source, "--libos", "occlum"),
    ):
        done = command.run(*arguments, code=3)
        assert "OCC006" not in done.stdout
        assert "libselinux.so.1" in done.stdout
        assert "occlum means Occlum 0.31.0" in done.stderr
    text = command.run("check", source, "--libos", "occlum", "--format", "json", code=3).stdout
    assert json.loads(text)["reports"][0]["runs"] is False


def test_all_profiles_are_compared_and_the_best_is_built(command: Command, tmp_path: Path) -> None:
    program = static_musl(SAMPLES / "hello" / "hello.c", tmp_path / "hello").read_bytes()
    source = layout(tmp_path, build_layer([directory("bin"), file("bin/app", program, 0o755)]))
    text = command.run("check", source).stdout
    assert re.search(r"Occlum 0\.31\.0 +does not run", text)
    assert "best: builtin" in text
    assert (
        "builtin: " in command.run("build", source, "--libos", "auto", *OUTPUT, "--progress", "plain").stderr
    )
    command.run("check", source, "--libos", "builtin", "--strict")
    command.run("check", source, "--libos", "occlum", "--ignore", "OCC008:/bin/*")
    assert command.run("explain", "OCC008").stdout.startswith("OCC008: static program")
    command.run("explain", "OCC999", code=2)
    mine = tmp_path / "mine.toml"
    text = (REPOSITORY / "libos_profiles" / "occlum-0.31.0.toml").read_text()
    mine.write_text(text.replace('static = "no"', 'static = "yes"').replace("0.31.0", "0.31.0-mine"))
    assert "best: Occlum" not in command.run("check", source).stdout
    done = command.run("check", source, "--profile", str(mine), "--libos", "occlum")
    assert "Occlum 0.31.0-mine: runs" in done.stdout
    mine.write_text(text.replace('static = "no"', "static = 7"))
    assert (
        f"{mine}, line 12: elf.static" in command.run("check", source, "--profile", str(mine), code=2).stderr
    )
    for form in ("sarif", "github"):
        assert "OCC008" in command.run("check", source, "--format", form).stdout


def test_a_build_goes_on_over_findings_that_are_forced(command: Command, tmp_path: Path) -> None:
    members = [
        directory("bin"),
        file("bin/app", static_musl(SAMPLES / "hello" / "hello.c", tmp_path / "hello").read_bytes(), 0o755),
    ]
    source = layout(tmp_path, build_layer(members), WorkingDir="/bin/app")
    assert "OCC013" in command.run("build", source, *OUTPUT, code=3).stderr
    assert (
        "OCC013 (forced)"
        in command.run("build", source, *OUTPUT, "--force", "OCC013", "--progress", "plain").stderr
    )
    assert "OCC013" in command.run("build", source, *OUTPUT, code=3).stderr
    command.run("build", source, *OUTPUT, "--force", "OCC999", code=2)


@pytest.mark.parametrize(
    ("members", "config"),
    [
        ([file("bin/app", "x")], {"User": "nobody"}),
        ([file("bin/app", "x")], {"StopSignal": "SIGNOTHING"}),
        ([file("bin/app", "x")], {"Env": ["=x"]}),
        ([file("bin/app", "x")], {"Env": "PATH"}),
        ([file("bin/app", "x")], {"Cmd": ["a\0b"]}),
        ([file("bin/app", "x")], {"Healthcheck": {"Test": ["RUN"]}}),
        ([file("../../etc/passwd", "x")], {}),
        ([file("a" * 300, "x")], {}),
    ],
)
def test_hostile_images_give_one_error(
    command: Command, tmp_path: Path, members: list[object], config: dict[str, object]
) -> None:
    source = layout(tmp_path, build_layer(members), **config)  # type: ignore[arg-type] # members of several kinds
    done = error_of_build(command, source)
    assert done.startswith("ERROR: ")
    assert not (command.base / "x.tar").exists()
    assert not command.leftovers()


def error_of_build(command: Command, source: str) -> str:
    """Return the error of a build that fails in whatever way, without a traceback."""
    done = command.finish("build", source, *OUTPUT, "--progress", "none")
    assert done.returncode in (1, 2, 3, 4)
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    "text",
    [
        '{"author": "\\ud800", %s}',
        '{"x": ' + "[" * 900 + "]" * 900 + ", %s}",
        '{"x": 1e999, %s}',
        '{"x": ' + "9" * 5000 + ", %s}",
        '{"history": [1], %s}',
        '{"created": 5, %s}',
        '{"created": "\\ud800", %s}',
    ],
)
def test_odd_configurations_give_one_error_or_an_image(command: Command, tmp_path: Path, text: str) -> None:
    program = build_layer([directory("bin"), file("bin/app", Path("/bin/busybox").read_bytes(), 0o755)])
    rest = f'"config": {{"Cmd": ["/bin/app"]}}, "rootfs": {{"diff_ids": ["{program.diff_id}"]}}'
    made = replace(build_image([program]), config_bytes=(text % rest).encode())
    config = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": sha256_digest(made.config_bytes),
        "size": len(made.config_bytes),
    }
    manifest = {**json.loads(made.manifest_bytes), "config": config}
    made = replace(made, manifest_bytes=json.dumps(manifest).encode())
    source = f"oci:{write_layout(tmp_path / 'layout', {'1': made})}"
    done = command.finish("build", source, *OUTPUT, "--progress", "none")
    assert done.returncode in (0, 1)
    assert done.returncode == 0 or done.stderr.startswith("ERROR: ")


@pytest.mark.parametrize("source_of_passphrase", ["file", "env", "fd"])
def test_an_encrypted_key_is_opened_by_its_passphrase(
    command: Command, source: str, key: Path, source_of_passphrase: str
) -> None:
    secret = "correct horse"
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", key, "-out", command.base / "locked.pem",
         "-passout", "stdin"],
        input=secret, text=True, check=True,
    )  # fmt: skip
    (command.base / "locked.pem").chmod(0o600)
    (command.base / "secret").write_text(f"{secret}\n")
    descriptor = os.open(command.base / "secret", os.O_RDONLY)
    options = {
        "file": ("--passphrase-file", "secret"),
        "env": ("--passphrase-env", "SECRET"),
        "fd": ("--passphrase-fd", str(descriptor)),
    }[source_of_passphrase]
    known = replace(command, environment={"SECRET": secret})
    known.run("build", source, "--key", "locked.pem", *options, *OUTPUT)
    command.run("verify", "oci-archive:x.tar", "--signer", key.with_name("key.pub.pem"))
    if source_of_passphrase != "fd":
        os.close(descriptor)
    (command.base / "secret").write_text("wrong\n")
    wrong = ("--passphrase-file", "secret", "--no-cache")
    message = command.run("build", source, "--key", "locked.pem", *wrong, *OUTPUT, code=4).stderr
    assert secret not in message


def test_damaged_layers_leave_nothing(command: Command, tmp_path: Path) -> None:
    good = build_layer([directory("bin"), file("bin/app", b"x" * 100_000, 0o755), symlink("a", "b")])
    for number, layer in enumerate(
        [
            build_layer(tar_of([file("a", b"1" * 10_000)])[:5000]),
            Layer(blob=good.blob[:-20], media_type=good.media_type, diff_id=good.diff_id),
            Layer(blob=good.blob, media_type=good.media_type, diff_id=build_layer([]).diff_id),
            build_layer(b"no tar at all" * 1000),
        ]
    ):
        assert error_of_build(command, layout(tmp_path / str(number), layer)).startswith("ERROR: ")
    assert not command.leftovers()


def test_a_registry_that_says_no_gives_exit_code_5(command: Command, registry: Registry) -> None:
    assert "no/such" in command.run("build", f"{registry.host}/no/such:1", *OUTPUT, code=5).stderr
    command.run("build", "127.0.0.1:1/no/registry:1", *OUTPUT, code=5)


def test_help_and_version_name_every_command(command: Command) -> None:
    text = command.run("--help").stdout
    for name in ("keygen", "build", "check", "explain", "inspect", "verify", "run", "version"):
        assert name in text
        command.run(name, "--help")
    assert command.run("version").stdout == command.run("--version").stdout
    command.run("no-such-command", code=2)


def test_a_traceback_is_shown_when_asked_for(command: Command) -> None:
    separate = replace(command, separate=True)
    assert "Traceback" in separate.finish("-D", "inspect", "oci:missing").stderr
    assert "Traceback" not in separate.finish("inspect", "oci:missing").stderr


def test_a_tar_without_its_last_padding_is_read_as_umoci_writes_it(command: Command, tmp_path: Path) -> None:
    program = Path("/bin/busybox").read_bytes()
    data = tar_of([directory("bin"), file("bin/app", program + b"end", 0o755)], tarfile.USTAR_FORMAT).rstrip(
        b"\0"
    )
    command.run("build", layout(tmp_path, build_layer(data)), *OUTPUT)
