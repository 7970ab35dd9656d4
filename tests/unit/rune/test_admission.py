"""Admission: what is verified of an unpacked image, and when a verdict takes the place of that."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from enclavize import __version__
from enclavize.errors import EnclavizeError
from enclavize.rune import verification
from enclavize.rune.admission import admit_image
from enclavize.rune.enclave_folder import EnclaveFolder
from enclavize.rune.policy import load_policy
from enclavize.rune.settings import Settings
from enclavize.rune.verdict_store import VerdictStore
from enclavize.sgx.enclave_file import read_signed
from enclavize.tee.layout import SIGNED_ENCLAVE
from support.programs import REPOSITORY
from support.rune import tee_image
from support.scale import scaled
from support.unpacked import kept_layout, pins_of_gramine, unpack

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.rune.policy import NodePolicy
    from support.rune import UnpackedTeeImage


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> UnpackedTeeImage:
    if not (REPOSITORY / "enclavize" / "_native" / "libos.so").is_file():
        pytest.skip("the native components are not built: a stand-in is of no release")
    return tee_image(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def of_gramine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("gramine")
    return unpack(kept_layout("gramine", base / "layout"), base / "tree")


@pytest.fixture
def tree(image: UnpackedTeeImage, tmp_path: Path) -> Path:
    return image.copy(tmp_path / "tree")


@pytest.fixture
def gramine(of_gramine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(of_gramine, tmp_path / "gramine", symlinks=True)


@pytest.fixture
def nothing(tmp_path: Path) -> NodePolicy:
    """Return the policy of a node without a configuration."""
    return load_policy(tmp_path / "absent.toml")


@pytest.fixture
def store(tmp_path: Path) -> VerdictStore:
    return VerdictStore(tmp_path)


def _pinned(gramine: Path, tmp_path: Path) -> NodePolicy:
    """Return the policy of a node that trusts the Gramine of this image."""
    (tmp_path / "pins").write_text(pins_of_gramine(gramine))
    (tmp_path / "config.toml").write_text(f'host_files = ["{tmp_path / "pins"}"]\n')
    return load_policy(tmp_path / "config.toml")


def _describe(tree: Path, **members: Any) -> None:
    """Change enclave.json, and list all files in it as they are now."""
    path = tree / ".enclave" / "enclave.json"
    description = {**json.loads(path.read_text()), **members}
    files = {}
    for name in sorted(description["files"]):
        data = (tree / ".enclave" / name).read_bytes()
        files[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    description["files"] = files
    path.write_text(json.dumps(description, indent=2) + "\n")


def _refusal(tree: Path, policy: NodePolicy) -> str:
    with pytest.raises(EnclavizeError) as caught:
        admit_image(tree, policy, VerdictStore(None))
    return str(caught.value)


def test_facts_come_from_the_signed_enclave(tree: Path, nothing: NodePolicy, store: VerdictStore) -> None:
    sigstruct = read_signed(tree / ".enclave" / SIGNED_ENCLAVE).sigstruct
    enclave = admit_image(tree, nothing, store).enclave
    assert (enclave.libos, enclave.debug) == ("builtin", False)
    assert (enclave.mrenclave, enclave.mrsigner) == (sigstruct.mrenclave, sigstruct.mrsigner)


def test_an_image_is_verified_once(
    tree: Path, nothing: NodePolicy, store: VerdictStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = admit_image(tree, nothing, store)
    monkeypatch.setattr(verification, "verify_unpacked", _fail)
    assert admit_image(tree, nothing, store) == first
    with pytest.raises(AssertionError):
        admit_image(tree, nothing, VerdictStore(None))


def _fail(*_arguments: object) -> None:
    raise AssertionError


@pytest.mark.parametrize("change", ["content", "mode", "more", "fewer", "policy", "version"])
def test_a_verdict_is_about_one_content_under_one_policy(
    tree: Path, nothing: NodePolicy, store: VerdictStore, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    admit_image(tree, nothing, store)
    path = tree / ".enclave" / "instance" / "rootfs.verity"
    match change:
        case "content":
            data = bytearray(path.read_bytes())
            data[0] ^= 1
            path.write_bytes(data)
        case "mode":
            path.chmod(0o600)
        case "more":
            (tree / ".enclave" / "more").touch()
        case "fewer":
            path.unlink()
        case "policy":
            nothing = replace(nothing, digests={**nothing.digests, "/etc/rune/more": "-"})
        case _:
            monkeypatch.setattr("enclavize.rune.admission.__version__", "0.0.1")
    monkeypatch.setattr(verification, "verify_unpacked", _fail)
    with pytest.raises(AssertionError):
        admit_image(tree, nothing, store)


def test_nothing_refused_is_remembered(tree: Path, nothing: NodePolicy, store: VerdictStore) -> None:
    stranger = replace(nothing, settings=Settings(mrsigners=(bytes(32),)))
    for _ in range(2):
        with pytest.raises(EnclavizeError, match="signer"):
            admit_image(tree, stranger, store)
    assert store.base is not None
    assert not list((store.base / "rune" / "verdicts").iterdir())


def test_no_changed_byte_is_admitted(tree: Path, nothing: NodePolicy, store: VerdictStore) -> None:
    """But for the name of the program that made the image, which is only told and decides nothing."""
    admit_image(tree, nothing, store)
    random = Random(3)
    paths = sorted(path for path in (tree / ".enclave").rglob("*") if path.is_file())
    generator = f"enclavize/{__version__}".encode()
    for number in range(scaled(400)):
        path = paths[number % len(paths)]
        before = path.read_bytes()
        told = range(0)
        if path.name == "enclave.json":
            start = before.index(generator)
            told = range(start, start + len(generator))
        after = bytearray(before)
        after[random.choice([at for at in range(len(after)) if at not in told])] ^= 1 << random.randrange(8)
        path.write_bytes(after)
        with pytest.raises(EnclavizeError):
            admit_image(tree, nothing, store)
        path.write_bytes(before)
    admit_image(tree, nothing, store)


def test_the_root_file_system_is_that_of_the_enclave(tree: Path, nothing: NodePolicy) -> None:
    """Although enclave.json says that the file is right."""
    path = tree / ".enclave" / "instance" / "rootfs.erofs"
    data = bytearray(path.read_bytes())
    random = Random(5)
    for _ in range(scaled(200)):
        at = random.randrange(len(data))
        data[at] ^= 1
        path.write_bytes(data)
        _describe(tree)
        assert "not the one that the enclave is bound to" in _refusal(tree, nothing)
        data[at] ^= 1
    path.write_bytes(data + b"\0")
    _describe(tree)
    assert "not the one that the enclave is bound to" in _refusal(tree, nothing)


def test_no_other_enclave_has_the_signature(tree: Path, nothing: NodePolicy) -> None:
    """Bytes that are not measured may change: the enclave is the same one then."""
    path = tree / ".enclave" / SIGNED_ENCLAVE
    data = bytearray(path.read_bytes())
    genuine = admit_image(tree, nothing, VerdictStore(None))
    random = Random(5)
    for _ in range(scaled(200)):
        at = random.randrange(len(data))
        data[at] ^= 1
        path.write_bytes(data)
        _describe(tree)
        with suppress(EnclavizeError):
            assert admit_image(tree, nothing, VerdictStore(None)) == genuine
        data[at] ^= 1


def test_a_signature_that_nobody_made_is_refused(tree: Path, nothing: NodePolicy) -> None:
    """Alice's modulus and the right measurement, but a signature that her key did not give."""
    path = tree / ".enclave" / SIGNED_ENCLAVE
    data = path.read_bytes()
    sigstruct = read_signed(data).sigstruct.to_bytes()
    assert data.count(sigstruct) == 1
    forged = bytearray(sigstruct)
    forged[516] ^= 1  # SIGSTRUCT.SIGNATURE (SDM volume 3D, table 38-19)
    path.write_bytes(data.replace(sigstruct, bytes(forged)))
    _describe(tree)
    assert "signature" in _refusal(tree, nothing)


def test_a_signature_of_another_enclave_is_refused(
    image: UnpackedTeeImage, tree: Path, nothing: NodePolicy, tmp_path: Path
) -> None:
    """Alice's SIGSTRUCT, which everybody can read, in the enclave of Mallory."""
    mallory = tee_image(tmp_path / "mallory", "--volume", "/evil")
    ours, theirs = (root / ".enclave" / SIGNED_ENCLAVE for root in (tree, mallory.root))
    copied, replaced = (read_signed(path).sigstruct.to_bytes() for path in (ours, theirs))
    data = theirs.read_bytes()
    assert data.count(replaced) == 1
    theirs.write_bytes(data.replace(replaced, copied))
    alice = replace(nothing, settings=Settings(mrsigners=(bytes.fromhex(image.mrsigner),)))
    _describe(mallory.root, mrenclave=image.description["mrenclave"], mrsigner=image.mrsigner)
    assert "measures" in _refusal(mallory.root, alice)


def test_a_copied_signature_does_not_make_any_program_a_gramine(
    tree: Path, gramine: Path, nothing: NodePolicy, tmp_path: Path
) -> None:
    """What ran was the loader of the image, an ordinary program, in the name of whom SIGSTRUCT names."""
    sigstruct = read_signed(tree / ".enclave" / SIGNED_ENCLAVE).sigstruct
    policy = _pinned(gramine, tmp_path)
    open_node = replace(nothing, settings=Settings(allow_unchecked_host_files=True))
    (gramine / ".enclave" / "instance" / "app.sig").write_bytes(sigstruct.to_bytes())
    _describe(gramine, mrenclave=sigstruct.mrenclave.hex(), mrsigner=sigstruct.mrsigner.hex())
    for node in (nothing, open_node, policy):
        assert "SIGSTRUCT is not that of this manifest" in _refusal(gramine, node)


@pytest.mark.parametrize(
    "name",
    ["gramine/direct/loader", "gramine/sgx/loader", "gramine/direct/libpal.so", "gramine/host/libc.so.6"],
)
def test_what_runs_outside_of_the_enclave_is_compared_with_pinned_digests(
    gramine: Path, nothing: NodePolicy, tmp_path: Path, name: str
) -> None:
    policy = _pinned(gramine, tmp_path)
    assert admit_image(gramine, policy, VerdictStore(None)).enclave.libos == "gramine"
    path = gramine / ".enclave" / name
    path.write_bytes(path.read_bytes() + b"evil")
    _describe(gramine)
    assert f"{name} is another file" in _refusal(gramine, policy)
    assert "no digests" in _refusal(gramine, nothing)
    open_node = replace(nothing, settings=Settings(allow_unchecked_host_files=True))
    admit_image(gramine, open_node, VerdictStore(None))
    both = replace(policy, settings=replace(policy.settings, allow_unchecked_host_files=True))
    assert f"{name} is another file" in _refusal(gramine, both)


def test_one_of_several_releases_must_match(gramine: Path, tmp_path: Path) -> None:
    policy = _pinned(gramine, tmp_path)
    (tmp_path / "other").write_text(f"{'0' * 64}  gramine/sgx/loader\n")
    paths = (tmp_path / "other", tmp_path / "pins")
    admit_image(gramine, replace(policy, settings=Settings(host_files=paths)), VerdictStore(None))
    message = _refusal(gramine, replace(policy, settings=Settings(host_files=paths[:1])))
    assert str(tmp_path / "other") in message


def test_gramines_libos_is_compared_with_the_manifest(gramine: Path, nothing: NodePolicy) -> None:
    path = gramine / ".enclave" / "gramine" / "libsysdb.so"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    _describe(gramine)
    open_node = replace(nothing, settings=Settings(allow_unchecked_host_files=True))
    assert "libsysdb.so is not the LibOS that the enclave loads" in _refusal(gramine, open_node)


def test_a_node_chooses_its_liboses(tree: Path, gramine: Path, nothing: NodePolicy) -> None:
    only = replace(nothing, settings=Settings(libos=("builtin",), allow_unchecked_host_files=True))
    admit_image(tree, only, VerdictStore(None))
    assert "does not admit the LibOS gramine" in _refusal(gramine, only)


def test_a_release_that_is_too_old_is_refused(gramine: Path, tmp_path: Path) -> None:
    policy = _pinned(gramine, tmp_path)
    for lowest, word in (("1.9.0", ""), ("1.9.1", "admits gramine 1.9.1 and later, not 1.9")):
        node = replace(
            policy, settings=replace(policy.settings, min_libos={"gramine": lowest, "builtin": "9"})
        )
        if word:
            assert word in _refusal(gramine, node)
        else:
            admit_image(gramine, node, VerdictStore(None))


def test_the_version_of_the_builtin_libos_is_that_of_its_code(
    nothing: NodePolicy, tree: Path, tmp_path: Path
) -> None:
    """Whatever enclave.json says: this enclave is of a release that nobody knows."""
    current = replace(nothing, settings=Settings(min_libos={"builtin": __version__}))
    admit_image(tree, current, VerdictStore(None))
    old = unpack(kept_layout("builtin", tmp_path / "layout"), tmp_path / "old")
    assert "unknown-release" in _refusal(old, nothing)
    put_up = replace(nothing, settings=Settings(allow_flaws=("unknown-release",)))
    admit_image(old, put_up, VerdictStore(None))
    both = Settings(allow_flaws=("unknown-release",), min_libos={"builtin": "0.0.1"})
    assert "of an unknown release" in _refusal(old, replace(nothing, settings=both))


def test_another_libos_is_refused(tree: Path, nothing: NodePolicy) -> None:
    _describe(tree, libos={"name": "occlum", "version": "0.31.0"})
    assert "lists no PAL for occlum 0.31.0" in _refusal(tree, nothing)
    _describe(tree, libos={"name": "gramine", "version": "1.9"})
    assert "does not belong to the enclave" in _refusal(tree, nothing)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"{" * 100_000, b" " * (2 << 20)], ids=repr)
def test_a_malformed_description_is_refused(tree: Path, nothing: NodePolicy, content: bytes) -> None:
    (tree / ".enclave" / "enclave.json").write_bytes(content)
    assert "enclave.json" in _refusal(tree, nothing)


def test_a_description_is_as_a_build_writes_it(tree: Path, nothing: NodePolicy) -> None:
    path = tree / ".enclave" / "enclave.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert "not as a build writes it" in _refusal(tree, nothing)


@pytest.mark.parametrize(
    "members", [{"debug": True}, {"isvsvn": 9}, {"mrsigner": "0" * 64}, {"argv": ["/bin/sh"]}]
)
def test_a_description_says_what_is_measured(
    tree: Path, nothing: NodePolicy, members: dict[str, Any]
) -> None:
    _describe(tree, **members)
    assert "contradict" in _refusal(tree, nothing)


@pytest.mark.parametrize("name", ["evil", "bin/evil", "gramine/direct/loader", "instance/.hidden", "a/b/c"])
def test_a_file_that_is_not_of_the_enclave_is_refused(tree: Path, nothing: NodePolicy, name: str) -> None:
    path = tree / ".enclave" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("evil")
    assert "does not belong to the enclave" in _refusal(tree, nothing)
    description = json.loads((tree / ".enclave" / "enclave.json").read_text())
    _describe(tree, files={**description["files"], name: {}})
    assert "does not belong to the enclave" in _refusal(tree, nothing)


@pytest.mark.parametrize(
    "name", ["bin/runelet", "instance/enclave.signed.so", "instance/rootfs.erofs", "instance/rootfs.verity"]
)
def test_a_file_that_is_missing_is_named(tree: Path, nothing: NodePolicy, name: str) -> None:
    (tree / ".enclave" / name).unlink()
    assert f"no /.enclave/{name}" in _refusal(tree, nothing)
    description = json.loads((tree / ".enclave" / "enclave.json").read_text())
    _describe(tree, files={key: value for key, value in description["files"].items() if key != name})
    assert name in _refusal(tree, nothing)


@pytest.mark.parametrize("part", [".enclave/instance", ".enclave/instance/enclave.signed.so", ".enclave"])
def test_no_link_of_the_image_is_followed(tree: Path, nothing: NodePolicy, part: str) -> None:
    path = tree / part
    path.rename(tree / "elsewhere")
    path.symlink_to(tree / "elsewhere")
    assert ".enclave" in _refusal(tree, nothing)


def test_a_link_belongs_to_gramine_alone_and_leads_where_it_should(
    tree: Path, gramine: Path, nothing: NodePolicy, tmp_path: Path
) -> None:
    policy = _pinned(gramine, tmp_path)
    link = gramine / ".enclave" / "instance" / "app.manifest"
    link.unlink()
    assert "app.manifest" in _refusal(gramine, policy)
    link.symlink_to("/etc/passwd")
    assert "app.manifest" in _refusal(gramine, policy)
    (tree / ".enclave" / "instance" / "app.manifest").symlink_to("app.manifest.sgx")
    assert "app.manifest" in _refusal(tree, nothing)


def test_what_is_no_file_is_refused(tree: Path, nothing: NodePolicy) -> None:
    path = tree / ".enclave" / "instance" / "rootfs.verity"
    path.unlink()
    os.mkfifo(path)
    assert "is no file" in _refusal(tree, nothing)
    path.unlink()
    path.mkdir()
    assert "no /.enclave/instance/rootfs.verity" in _refusal(tree, nothing)


def test_too_much_is_not_looked_at(tree: Path, nothing: NodePolicy) -> None:
    folder = tree / ".enclave" / "deep"
    folder.joinpath(*"123456789").mkdir(parents=True)
    assert "more in it than an enclave" in _refusal(tree, nothing)
    shutil.rmtree(folder)
    folder.mkdir()
    for number in range(4200):
        os.link(tree / ".enclave" / "bin" / "runelet", folder / str(number))
    assert "more in it than an enclave" in _refusal(tree, nothing)


def test_a_file_that_changes_while_it_is_read_is_refused(tree: Path) -> None:
    path = tree / ".enclave" / "instance" / "rootfs.verity"
    with EnclaveFolder(tree) as folder:
        with path.open("ab") as file:
            file.write(b"x")
        with pytest.raises(EnclavizeError, match="changes while it is read"):
            folder.sha256("instance/rootfs.verity")
        path.write_bytes(b"")
        with pytest.raises(EnclavizeError, match="changes while it is read"):
            folder.sha256("instance/rootfs.verity")
        path.unlink()
        path.symlink_to("rootfs.erofs")
        with pytest.raises(EnclavizeError, match="cannot read"):
            folder.sha256("instance/rootfs.verity")


def test_an_unsigned_image_is_refused(nothing: NodePolicy, tmp_path: Path) -> None:
    image = tee_image(tmp_path / "unsigned", "--unsigned")
    assert "unsigned" in _refusal(image.root, nothing)


def test_a_debug_image_is_one(nothing: NodePolicy, tmp_path: Path) -> None:
    image = tee_image(tmp_path / "debug", "--debug")
    assert admit_image(image.root, nothing, VerdictStore(None)).enclave.debug
    strict = replace(nothing, settings=Settings(allow_debug=False))
    assert "debug" in _refusal(image.root, strict)
