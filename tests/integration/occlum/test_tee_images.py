"""TEE images with Occlum: what is in them, what they are bound to, and what is refused.

With ENCLAVIZE_OCCLUM_TOOLCHAIN they are made of a real Occlum, otherwise of a stand-in.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.libos.occlum.sefs.keys import read_image_key
from enclavize.libos.occlum.sefs.unpack import unpack
from enclavize.oci.digest import sha256_digest
from support.images import Member, directory, file
from support.programs import need
from support.registry import running_registry
from support.stand_in_toolchain import stand_in_occlum
from support.tampering import written

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.occlum.conftest import Converter

pytestmark = pytest.mark.integration

INSTANCE = ".enclave/instance"


def facts(converter: Converter, name: str) -> dict[str, Any]:
    """Return what ``inspect`` says."""
    found: dict[str, Any] = json.loads(converter.command.run("inspect", name, "--format", "json").stdout)
    return found


def verify(
    converter: Converter, name: str, *options: str | Path, code: int = 0, toolchain: Path | None = None
) -> str:
    """Run ``verify`` with the toolchain that the image was built with; return what it says."""
    done = converter.command.run(
        "verify", name, "--signer", converter.key.with_name("key.pub.pem"), "--toolchain",
        toolchain or converter.toolchain, *(options or ("--allow-integrity-only",)), code=code,
    )  # fmt: skip
    return done.stdout + done.stderr


def document(name: str, digest: str) -> bytes:
    """Return a blob of a layout."""
    return (
        Path(name.removeprefix("oci:")) / "blobs" / "sha256" / digest.removeprefix("sha256:")
    ).read_bytes()


def config_of(name: str) -> dict[str, Any]:
    """Return the configuration of the image in a layout."""
    config: dict[str, Any] = json.loads(document(name, manifest_of(name)["config"]["digest"]))
    return config


def manifest_of(name: str) -> dict[str, Any]:
    """Return the manifest of the image in a layout."""
    index = json.loads((Path(name.removeprefix("oci:")) / "index.json").read_text())
    manifest: dict[str, Any] = json.loads(document(name, index["manifests"][0]["digest"]))
    return manifest


def unpacked(name: str, folder: Path) -> Path:
    """Unpack all layers."""
    for layer in manifest_of(name)["layers"]:
        with tarfile.open(fileobj=io.BytesIO(document(name, layer["digest"]))) as archive:
            for member in archive:
                member.mode |= 0o700
                archive.extract(member, folder, filter="fully_trusted")
    return folder


def root_files(name: str, folder: Path, key: Path | None = None) -> Path:
    """Unpack the root file system that the enclave will mount."""
    tree = unpacked(name, folder / "tree")
    image = tree / INSTANCE / "build" / "mount" / "__ROOT"
    unpack(image, folder / "root", key=None if key is None else read_image_key(key))
    return folder / "root"


@pytest.mark.parametrize("version", ["0.21.0", "0.29.5", "0.30.1"])
def test_an_image_is_made_for_each_release_and_verified(
    converter: Converter, make: Callable[..., str], tmp_path: Path, version: str
) -> None:
    toolchain = stand_in_occlum(tmp_path / "occlum", version)
    name = converter.build(make(), "tee", "--toolchain", toolchain)
    found = facts(converter, name)
    assert found["libos"] == {"name": "occlum", "version": version}
    flaws = {"0.21.0": ("CVE-2021-0186", "CVE-2021-44421", "occlum-dcap-nonce")}.get(version, ())
    allowed = [f"--allow-flaw={flaw}" for flaw in flaws]
    for flaw in flaws:
        assert f"has the known flaw {flaw}" in verify(converter, name, code=4, toolchain=toolchain)
    said = verify(converter, name, "--allow-integrity-only", *allowed, toolchain=toolchain)
    assert re.search(r"trusted +true", said)
    assert re.search("integrity only.*no protection", found["measured"]["root_file_system"])


def test_the_image_has_inclavares_layout_and_none_of_the_source(
    converter: Converter, make: Callable[..., str], tmp_path: Path
) -> None:
    source = make()
    name = converter.build(source, "tee")
    config = config_of(name)["config"]
    assert config["Entrypoint"] == ["/usr/bin/app", "--serve"]
    assert config["Cmd"] == ["now"]
    assert config["WorkingDir"] == "/run/rune"
    assert config["Env"] == [
        "ENCLAVE_TYPE=intelSgx",
        "ENCLAVE_RUNTIME_PATH=/run/rune/occlum_instance/build/lib/libocclum-pal.so",
        "ENCLAVE_RUNTIME_ARGS=occlum_instance",
        "OCCLUM_RELEASE_ENCLAVE=1",
    ]
    tee, plain = (
        {layer["digest"] for layer in manifest_of(image)["layers"]} for image in (name, source[:-2])
    )
    assert len(tee) == 2
    assert not tee & plain
    tree = unpacked(name, tmp_path / "tree")
    assert sorted(path.name for path in tree.iterdir()) == [".enclave", "etc", "run"]
    assert {path.name: path.read_bytes() for path in (tree / "etc").iterdir()} == dict.fromkeys(
        ("hostname", "hosts", "resolv.conf"), b""
    )
    link = tree / "run" / "rune" / "occlum_instance"
    assert str(link.readlink()) == "/.enclave/instance"
    instance = tree / INSTANCE
    for path in ("run/mount/__ROOT", "run/initfs/__ROOT"):
        assert not list((instance / path).iterdir())
        assert (instance / path).stat().st_mode & 0o777 == 0o777
    assert (instance / ".sgx_mode").read_text() == "HW\n"
    assert (instance / "build" / "lib" / "libocclum-pal.so").is_file()
    assert json.loads((instance / "Occlum.json").read_text())["metadata"]["debuggable"] is False


def test_the_root_has_the_images_files_and_occlums_c_library(
    converter: Converter, make: Callable[..., str], tmp_path: Path, program: bytes, toolchain: Path
) -> None:
    from integration.occlum.conftest import DATA

    root = root_files(converter.build(make(), "tee"), tmp_path)
    assert (root / "usr" / "bin" / "app").read_bytes() == program
    assert (root / "usr" / "bin" / "app").stat().st_mode & 0o777 == 0o755
    assert (root / "data" / "large").read_bytes() == (root / "data" / "twin").read_bytes() == DATA
    assert (root / "data" / "changed").read_text() == "new\n"
    assert str((root / "data" / "link").readlink()) == "large"
    loader = root / "usr" / "lib" / "ld-musl-x86_64.so.1"
    assert not loader.is_symlink()
    assert b"the image's own" not in loader.read_bytes()
    assert str((root / "lib").readlink()) == "usr/lib"
    assert {"dev", "proc", "tmp", "root"} <= {path.name for path in root.iterdir()}
    assert not (root / "opt").exists()


def test_two_builds_are_identical_and_one_byte_makes_another_enclave(
    converter: Converter, make: Callable[..., str]
) -> None:
    first = converter.build(make(), "first")
    again = converter.build(make(), "again", "--no-cache")
    other = converter.build(make([file("data/changed", "neW\n")]), "other")
    assert facts(converter, first)["digest"] == facts(converter, again)["digest"]
    assert facts(converter, first)["mrenclave"] != facts(converter, other)["mrenclave"]


def test_the_image_goes_wherever_images_go(
    converter: Converter, make: Callable[..., str], tmp_path: Path
) -> None:
    with running_registry(tmp_path / "registry") as registry:
        name = f"{registry.host}/tee:1"
        done = converter.command.run(
            "build", make(), "--libos", "occlum", "--toolchain", converter.toolchain, "--key", converter.key,
            "-t", name, "--push", "-o", "type=docker,dest=docker.tar", "-o", "type=oci,dest=oci.tar",
            "-o", "tree",
        )  # fmt: skip
        assert "digest" in done.stderr
        for place in (name, "docker-archive:docker.tar", "oci-archive:oci.tar"):
            assert re.search(r"trusted +true", verify(converter, place))
    tree = converter.command.base / "tree"
    assert (tree / "run" / "rune" / "occlum_instance").is_symlink()
    assert (tree / INSTANCE / "run" / "mount" / "__ROOT").is_dir()
    opened = [*(tree / INSTANCE / "build" / "mount" / "__ROOT").iterdir()]
    assert {path.stat().st_mode & 0o777 for path in opened} == {0o666}, "as in the layer, whatever the umask"


def test_the_file_that_differs_is_named(converter: Converter, make: Callable[..., str]) -> None:
    first = converter.build(make(), "first")
    other = converter.build(make([file("data/changed", "neW\n")]), "other")
    done = converter.command.finish("diff", first, other)
    assert "data/changed" in done.stdout
    assert "data/large" not in done.stdout


def test_everything_that_the_host_is_told_is_measured(converter: Converter, make: Callable[..., str]) -> None:
    measured = {
        facts(converter, converter.build(make(**config), f"tee{number}", *options))["mrenclave"]
        for number, (options, config) in enumerate(
            [
                ((), {}),
                (("--set", "memory=2GiB"), {}),
                (("--set", "threads=7"), {}),
                (("--set", "kernel-heap=64MiB"), {}),
                (("--allow-env", "NAME"), {}),
                (("--volume", "/shared:exec"), {}),
                (("--allow-exec=/usr/bin/other",), {}),
                ((), {"Env": ["PATH=/usr/bin", "GREETING=bye"]}),
                ((), {"Cmd": ["later"]}),
            ]
        )
    }
    assert len(measured) == 9


@pytest.mark.usefixtures("since_0_30")
def test_an_encrypted_root_is_another_each_time_and_opens_with_the_key(
    converter: Converter, make: Callable[..., str], tmp_path: Path
) -> None:
    converter.command.run("occlum", "gen-image-key", "image.key")
    key = converter.command.base / "image.key"
    first = converter.build(make(), "first", "--image-key", key, "--builtin-image-key")
    again = converter.build(make(), "again", "--image-key", key, "--builtin-image-key", "--no-cache")
    found = facts(converter, first)
    assert found["mrenclave"] != facts(converter, again)["mrenclave"]
    assert found["measured"]["root_file_system"] == "encrypted"
    assert re.search(r"trusted +true", verify(converter, first))
    root = root_files(first, tmp_path, key)
    assert (root / "data" / "twin").read_bytes() == (root / "data" / "large").read_bytes()
    tree = tmp_path / "tree" / INSTANCE / "build"
    unpack(tree / "initfs" / "__ROOT", tmp_path / "init")
    assert (tmp_path / "init" / "etc" / "image_key").read_bytes() == key.read_bytes()
    assert not any(b"hello" in path.read_bytes() for path in (tree / "mount" / "__ROOT").iterdir())


def test_a_new_key_is_not_answered_by_an_earlier_result(
    converter: Converter, make: Callable[..., str]
) -> None:
    key, source = converter.command.base / "image.key", make()
    macs = set()
    for number in range(2):
        key.unlink(missing_ok=True)
        converter.command.run("occlum", "gen-image-key", key)
        macs.add(facts(converter, converter.build(source, f"tee{number}", "--image-key", key))["mrenclave"])
    assert len(macs) == 2


def test_the_key_is_only_built_in_if_that_is_asked_for(
    converter: Converter, make: Callable[..., str], tmp_path: Path
) -> None:
    converter.command.run("occlum", "gen-image-key", "image.key")
    key = converter.command.base / "image.key"
    name = converter.build(make(), "tee", "--image-key", key)
    text = key.read_text().strip().encode()
    tree = unpacked(name, tmp_path / "tree")
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 20
    assert not any(text in path.read_bytes() for path in files)


def test_a_debug_image_allows_any_program(converter: Converter, make: Callable[..., str]) -> None:
    name = converter.build(make(), "tee", "--debug")
    assert "OCCLUM_RELEASE_ENCLAVE=1" not in config_of(name)["config"]["Env"]
    found = facts(converter, name)
    assert found["debug"] is True
    assert found["measured"]["configuration"]["entry_points"] == ["/"]


def test_the_image_is_run_with_a_pal_that_the_machine_lists(
    converter: Converter, make: Callable[..., str]
) -> None:
    name = converter.build(make(), "tee")
    need("runc")
    done = converter.command.run("run", name, code=125)
    assert "lists no PAL for occlum" in done.stderr


def test_an_image_can_be_signed_elsewhere(converter: Converter, make: Callable[..., str]) -> None:
    source, command = make(), converter.command
    wanted = facts(converter, converter.build(source, "tee"))
    command.run(
        "build", source, "--libos", "occlum", "--toolchain", converter.toolchain, "--unsigned", "-o",
        "type=oci,tar=false,dest=unsigned",
    )  # fmt: skip
    assert "is unsigned" in verify(converter, f"oci:{command.base / 'unsigned'}", code=4)
    command.run("sign", "material", "oci:unsigned", "-o", "material")
    subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", converter.key, "-out", "signature", "material"],
        cwd=command.base, check=True,
    )  # fmt: skip
    command.run(
        "sign", "attach", "oci:unsigned", "--material", "material", "--signature", "signature",
        "--public-key", converter.key.with_name("key.pub.pem"), "-o", "type=oci,tar=false,dest=signed",
    )  # fmt: skip
    assert facts(converter, f"oci:{command.base / 'signed'}")["digest"] == wanted["digest"]


def changed(
    name: str, path: str, change: Callable[[bytes], bytes] | None, more: list[Member], *, without: str = ""
) -> None:
    """Rewrite a file of the last layer as an attacker with the registry's keys would, consistently.

    ``without``: leave that out, with all that is in it. ``more`` is sorted in, as a build would.
    """
    folder = Path(name.removeprefix("oci:"))
    manifest = manifest_of(name)
    layer = manifest["layers"][-1]
    members = []
    with tarfile.open(fileobj=io.BytesIO(document(name, layer["digest"]))) as archive:
        for member in archive:
            if without and (member.name == without or member.name.startswith(f"{without}/")):
                continue
            content = archive.extractfile(member) if member.isreg() else None
            data = content.read() if content else b""
            if member.name == path:
                assert change is not None
                data = change(data)
            members.append(
                Member(
                    path=member.name, type=member.type, data=data, mode=member.mode, mtime=0,
                    link=member.linkname,
                )
            )  # fmt: skip
    config = config_of(name)

    def put(data: bytes) -> dict[str, Any]:
        digest = sha256_digest(data)
        (folder / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(data)
        return {"digest": digest, "size": len(data)}

    layer |= put(written(sorted([*members, *more], key=lambda member: member.path)))
    config["rootfs"]["diff_ids"][-1] = layer["digest"]
    manifest["config"] |= put(json.dumps(config).encode())
    index = json.loads((folder / "index.json").read_text())
    index["manifests"][0] |= put(json.dumps(manifest).encode())
    (folder / "index.json").write_text(json.dumps(index))


def flipped(data: bytes) -> bytes:
    """Change one bit in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("build/mount/__ROOT/metadata", "metadata"),
        ("build/mount/__ROOT/05000000000000000000000000000000", "05000000000000000000000000000000"),
        ("build/initfs/__ROOT/metadata", "metadata"),
        ("build/initfs/__ROOT/03000000000000000000000000000000", "03000000000000000000000000000000"),
        ("build/.Occlum_sys.json.protected", "is not the file that enclave.json describes"),
        ("build/lib/libocclum-libos.signed.so", "is not the file that enclave.json describes"),
        ("Occlum.json", "is not the file that enclave.json describes"),
    ],
)
def test_one_changed_bit_anywhere_is_found(
    converter: Converter, make: Callable[..., str], path: str, message: str
) -> None:
    name = converter.build(make(), "tee")
    changed(name, f"{INSTANCE}/{path}", flipped, [])
    assert message in verify(converter, name, code=1)


def test_a_root_of_another_build_is_found(converter: Converter, make: Callable[..., str]) -> None:
    name = converter.build(make(), "tee")
    other = converter.build(make([file("data/changed", "evil\n")]), "other")
    folder = f"{INSTANCE}/build/mount/__ROOT"
    donor = unpacked(other, converter.command.base / "donor") / folder
    for path in donor.iterdir():
        changed(name, f"{folder}/{path.name}", lambda _, path=path: path.read_bytes(), [])  # type: ignore[misc]
    assert "the root MAC is" in verify(converter, name, code=1)


@pytest.mark.parametrize(
    "member",
    [
        file("etc/motd", "hello"),
        Member(path="etc/other", mtime=0, mode=0o444),
        Member(path="shared", type=tarfile.DIRTYPE, mtime=0, mode=0o777),
        Member(path="shared", type=tarfile.DIRTYPE, mtime=0, mode=0o555),
        file(f"{INSTANCE}/build/mount/__ROOT/ff000000000000000000000000000000", "x"),
        file(f"{INSTANCE}/build/mount/__ROOT/note", "x"),
        file(f"{INSTANCE}/run/mount/__ROOT/metadata", "x"),
        directory(f"{INSTANCE}/run/other"),
    ],
    ids=lambda member: f"{member.path}-{member.mode:o}",
)
def test_a_file_that_was_added_is_found(
    converter: Converter, make: Callable[..., str], member: Member
) -> None:
    name = converter.build(make(), "tee")
    changed(name, "", None, [member])
    assert "ERROR" in verify(converter, name, code=1)


LOST = {
    "User": "1000",
    "WorkingDir": "/data",
    "StopSignal": "SIGUSR1",
    "Healthcheck": {"Test": ["CMD", "app"]},
}


def test_what_is_lost_is_told(converter: Converter, make: Callable[..., str]) -> None:
    more = [
        Member(path="node", type=tarfile.CHRTYPE, device=(1, 3)),
        file("usr/bin/su", "x", 0o4755),
    ]
    done = converter.command.run(
        "build", make(more, **LOST), "--libos", "occlum",
        "--toolchain", converter.toolchain, "--key", converter.key, "-o", "type=oci,dest=tee.tar",
    )  # fmt: skip
    for message in (
        "devices and FIFOs are left out: /node",
        "setuid and setgid bits are lost: /usr/bin/su",
        "not encrypted: corruption is detected, but whoever controls the host",
        "the host chooses the arguments",
        "not in /data",
        "not as 1000",
        "not SIGUSR1",
        "health checks are left out",
    ):
        assert message in done.stderr
    found = json.loads(converter.command.run("inspect", "oci-archive:tee.tar", "--format", "json").stdout)
    assert found["signed"] is True


def test_a_health_check_is_not_left_to_the_runelet(converter: Converter, make: Callable[..., str]) -> None:
    name = converter.build(make(**LOST), "tee")
    assert config_of(name)["config"]["Healthcheck"]["Test"] == ["NONE"]
