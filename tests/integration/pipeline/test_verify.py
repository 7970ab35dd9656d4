"""``enclavize verify`` accepts what was built and refuses everything else, naming the object."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.oci.digest import sha256_digest
from support.images import Member, build_layer, file, tar_of, to_json, whiteout
from support.tampering import written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Built

pytestmark = pytest.mark.integration

FILES = {
    ".enclave/instance/enclave.signed.so": "enclave.signed.so",
    ".enclave/instance/rootfs.erofs": "rootfs.erofs",
    ".enclave/instance/rootfs.verity": "rootfs.verity",
    ".enclave/enclave.json": "enclave.json",
}


class Layout:
    """A copy of a TEE image that an attacker with the registry's keys rewrites consistently."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.index = json.loads((root / "index.json").read_text())
        self.manifest = json.loads(self.blob(self.index["manifests"][0]["digest"]))
        self.config = json.loads(self.blob(self.manifest["config"]["digest"]))

    def blob(self, digest: str) -> bytes:
        return (self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()

    def put(self, data: bytes) -> dict[str, Any]:
        digest = sha256_digest(data)
        (self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(data)
        return {"digest": digest, "size": len(data)}

    def members(self, number: int) -> list[Member]:
        data = self.blob(self.manifest["layers"][number]["digest"])
        found = []
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                content = archive.extractfile(member)
                found.append(
                    Member(
                        path=member.name, type=member.type, mode=member.mode, mtime=0,
                        data=content.read() if content else b"",
                    )
                )  # fmt: skip
        return found

    def replace_layer(self, number: int, data: bytes) -> None:
        self.manifest["layers"][number] |= self.put(data)
        self.config["rootfs"]["diff_ids"][number] = sha256_digest(data)

    def add_layer(self, members: list[Member], *, gzip: bool = True) -> None:
        layer = build_layer(members, "gzip" if gzip else "none")
        self.manifest["layers"].append({"mediaType": layer.media_type, **self.put(layer.blob)})
        self.config["rootfs"]["diff_ids"].append(layer.diff_id)
        self.config["history"].append({"created_by": "somebody"})

    def change_file(self, path: str, change: Callable[[bytes], bytes], number: int = -1) -> None:
        members = [
            replace(member, data=change(member.data)) if member.path == path else member
            for member in self.members(number)
        ]
        self.replace_layer(number, written(members))

    def redescribe(self, path: str) -> None:
        """Make enclave.json fit a file that was changed."""
        import hashlib

        data = next(member.data for member in self.members(-1) if member.path == path)
        name = path.removeprefix(".enclave/")

        def change(text: bytes) -> bytes:
            document = json.loads(text)
            document["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            return json.dumps(document, indent=2).encode() + b"\n"

        self.change_file(".enclave/enclave.json", change)

    def save(self) -> str:
        self.manifest["config"] |= self.put(to_json(self.config))
        self.index["manifests"][0] |= self.put(to_json(self.manifest))
        (self.root / "index.json").write_bytes(to_json(self.index))
        return f"oci:{self.root}"


@pytest.fixture
def layout(built: Built, tmp_path: Path) -> Layout:
    shutil.copytree(built.layout, tmp_path / "copy")
    return Layout(tmp_path / "copy")


def flip(offset: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        at = offset % len(data)
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return change


def refused(built: Built, name: str, *words: str, code: int = 1) -> None:
    message = built.command.run("verify", name, "--signer", built.public_key, code=code).stderr
    for word in words:
        assert word in message


def test_what_was_built_is_accepted(built: Built) -> None:
    done = built.command.run("verify", built.name, "--signer", built.public_key, "--format", "json")
    verdict = json.loads(done.stdout)
    assert verdict["trusted"] is True
    assert verdict["signer"] == "checked"
    assert (verdict["isvprodid"], verdict["isvsvn"], verdict["debug"]) == (3, 4, False)
    assert (verdict["outside"], verdict["unread"], verdict["objections"]) == ("checked", [], [])
    by_measurement = ("verify", built.name, "--mrenclave", verdict["mrenclave"], "--format")
    assert built.command.run(*by_measurement, "measurement").stdout == "checked\n"
    assert built.command.run(*by_measurement, "signer").stdout == "NOT checked\n"
    built.command.run(
        "verify", built.name, "--signer", verdict["mrsigner"], "--min-svn", "4", "--isvprodid", "3"
    )


def test_without_an_expectation_the_signer_is_not_checked_and_the_exit_code_says_so(built: Built) -> None:
    done = built.command.run("verify", built.name, code=4)
    assert "signer was NOT checked" in done.stderr
    assert "--signer" in done.stderr
    assert (
        built.command.run("verify", built.name, "--allow-any-signer", "--format", "signer").stdout
        == "NOT checked\n"
    )


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--signer", "ab" * 32), "not a trusted signer"),
        (("--mrenclave", "ab" * 32), "MRENCLAVE"),
        (("--min-svn", "5"), "security version is 4, lower than 5"),
        (("--isvprodid", "2"), "product id is 3, not 2"),
    ],
)
def test_what_is_not_expected_is_refused(built: Built, options: tuple[str, ...], word: str) -> None:
    trusted = () if "--signer" in options else ("--signer", str(built.public_key))
    assert word in built.command.run("verify", built.name, *trusted, *options, code=4).stderr


@pytest.mark.parametrize("option", [("--min-svn", "0"), ("--isvprodid", "3")])
@pytest.mark.parametrize("other", [(), ("--mrenclave", "ab" * 32), ("--allow-any-signer",)])
def test_numbers_of_an_unknown_signer_are_refused_as_meaning_nothing(
    built: Built, tmp_path: Path, option: tuple[str, str], other: tuple[str, ...]
) -> None:
    message = built.command.run("verify", built.name, *option, *other, code=2).stderr
    assert f"{option[0]} means nothing without a trusted signer" in message
    policy = tmp_path / "policy.toml"
    policy.write_text(f"{option[0].removeprefix('--').replace('-', '_')} = {option[1]}\n")
    message = built.command.run("verify", built.name, "--policy", policy, *other, code=2).stderr
    assert f"{option[0]} means nothing without a trusted signer" in message


def test_a_policy_file_names_who_is_trusted(built: Built, tmp_path: Path) -> None:
    shutil.copy(built.public_key, tmp_path / "signer.pem")
    policy = tmp_path / "policy.toml"
    policy.write_text('signers = ["signer.pem"]\nmin_svn = 4\n')
    built.command.run("verify", built.name, "--policy", policy)
    built.command.run("verify", built.name, "--policy", policy, "--min-svn", "5", code=4)


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("offset", [0, 4000, -1])
def test_a_flipped_bit_in_any_file_is_refused_and_the_file_named(
    built: Built, layout: Layout, path: str, offset: int
) -> None:
    layout.change_file(path, flip(offset))
    refused(built, layout.save(), "enclave.json" if path.endswith(".json") else FILES[path])


@pytest.mark.parametrize(
    ("path", "offset", "words"),
    [
        (".enclave/instance/rootfs.erofs", 2000, ("rootfs.erofs", "bound to")),
        (".enclave/instance/rootfs.verity", 40, ("rootfs.verity", "hashes")),
        (".enclave/instance/enclave.signed.so", 0x1400, ("enclave.signed.so",)),
    ],
)
def test_rewriting_the_description_too_does_not_help(
    built: Built, layout: Layout, path: str, offset: int, words: tuple[str, ...]
) -> None:
    layout.change_file(path, flip(offset))
    layout.redescribe(path)
    refused(built, layout.save(), *words)


def test_every_flipped_bit_of_the_configuration_changes_the_measurement(built: Built, layout: Layout) -> None:
    path = ".enclave/instance/enclave.signed.so"
    start = next(member.data for member in layout.members(-1) if member.path == path).index(b"ENCLVCFG")
    for offset in (0, 12, 40, 0xFFFF):
        copy = Layout(layout.root)
        copy.change_file(path, flip(start + offset))
        copy.redescribe(path)
        refused(built, copy.save(), "enclave.signed.so", "measures")
        copy.change_file(path, flip(start + offset))


def test_a_description_that_contradicts_the_enclave_is_refused(built: Built, layout: Layout) -> None:
    layout.change_file(".enclave/enclave.json", lambda data: data.replace(b'"isvsvn": 4', b'"isvsvn": 5'))
    refused(built, layout.save(), "contradict", "isvsvn")


def test_labels_and_annotations_that_lie_are_refused(built: Built, layout: Layout) -> None:
    layout.config["config"]["Labels"]["org.enclavize.isvsvn"] = "9"
    refused(built, layout.save(), "label org.enclavize.isvsvn")
    layout.config["config"]["Labels"]["org.enclavize.isvsvn"] = "4"
    layout.manifest["annotations"]["org.enclavize.debug"] = "true"
    refused(built, layout.save(), "annotation org.enclavize.debug")


def test_an_image_that_starts_something_else_is_refused(built: Built, layout: Layout) -> None:
    layout.config["config"]["Entrypoint"] = ["/bin/busybox"]
    refused(built, layout.save(), "/bin/busybox")


def test_a_file_of_the_source_in_another_version_is_refused(built: Built, layout: Layout) -> None:
    members = [file("etc/passwd", "root:x:0:0::/root:/bin/sh\n", mtime=1), file("etc/hostname", "box\n")]
    layer = build_layer(members)
    layout.manifest["layers"][1] |= layout.put(layer.blob)
    layout.config["rootfs"]["diff_ids"][1] = layer.diff_id
    refused(built, layout.save(), "layers", "rootfs.erofs")


@pytest.mark.parametrize("gzip", [True, False])
def test_a_layer_on_top_is_refused_and_its_file_named(built: Built, layout: Layout, gzip: bool) -> None:
    layout.add_layer([file("bin/hello", "evil", 0o755)], gzip=gzip)
    name = layout.save()
    refused(built, name, "on top", "/bin/hello")
    built.command.run("inspect", name, code=1)


def test_a_whiteout_on_top_is_refused(built: Built, layout: Layout) -> None:
    layout.add_layer([whiteout("data")])
    refused(built, layout.save(), "on top")


def test_a_file_smuggled_into_our_layer_is_refused(built: Built, layout: Layout) -> None:
    members = layout.members(-1)
    layout.replace_layer(-1, tar_of([*members, file("bin/evil", "x", 0o755)], tarfile.USTAR_FORMAT))
    refused(built, layout.save(), "bin/evil")


def test_a_file_smuggled_into_the_libos_layer_is_refused(built: Built, layout: Layout) -> None:
    members = layout.members(-2)
    layout.replace_layer(-2, tar_of([*members, file("bin/evil", "x", 0o755)], tarfile.USTAR_FORMAT))
    refused(built, layout.save(), "bin/evil", "not of the enclave")
    layout.replace_layer(-2, tar_of([*members, whiteout("data")], tarfile.USTAR_FORMAT))
    refused(built, layout.save(), ".wh.data", "not of the enclave")


def test_a_changed_runelet_is_refused(built: Built, layout: Layout) -> None:
    layout.change_file(".enclave/bin/runelet", flip(100), number=-2)
    refused(built, layout.save(), "/.enclave/bin/runelet")


def test_a_blob_that_is_not_what_its_digest_says_is_refused(built: Built, layout: Layout) -> None:
    digest = layout.manifest["layers"][-1]["digest"].removeprefix("sha256:")
    path = layout.root / "blobs" / "sha256" / digest
    path.write_bytes(flip(5000)(path.read_bytes()))
    empty = replace(built.command, base=layout.root.parent)  # a cache that has not seen the right blob
    message = empty.run("verify", f"oci:{layout.root}", "--signer", built.public_key, code=1).stderr
    assert digest in message


def test_an_ordinary_image_is_no_tee_image(built: Built) -> None:
    for verb in ("verify", "inspect"):
        message = built.command.run(verb, f"oci:{built.layout.parent / 'source'}", code=1).stderr
        assert "is not a TEE image" in message


def test_inspect_shows_one_field(built: Built) -> None:
    assert built.command.run("inspect", built.name, "--format", "isvsvn").stdout == "4\n"
    assert built.command.run("inspect", built.name, "--format", "measured.user").stdout == "[7, 8, 9]\n"
    assert "fields:" in built.command.run("inspect", built.name, "--format", "nothing", code=2).stderr


def test_inspect_shows_progress_as_it_is_told(built: Built) -> None:
    for mode, shown in (("plain", True), ("none", False)):
        done = built.command.run("inspect", built.name, "--progress", mode, "--format", "isvsvn")
        assert (done.stdout, "resolve" in done.stderr) == ("4\n", shown)
