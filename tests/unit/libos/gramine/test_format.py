"""Instances of Gramine that are not what they should be give typed errors."""

from __future__ import annotations

import random
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from enclavize.errors import EnclavizeError
from enclavize.libos.gramine import layout
from enclavize.libos.gramine.format import GramineFormat, policy_of
from enclavize.libos.gramine.manifest import make_manifest
from enclavize.rootfs.tree import Rootfs
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.tee.policy import AllowedVariable, Policy, Volume
from support.scale import scaled
from support.vectors import GRAMINE

from .test_manifest import VALUES

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.oci.image import Image
    from enclavize.tee.contents import TeeContents

LIBPAL = (GRAMINE / "libpal/standin_a.so").read_bytes()


class Contents:
    """The files of an instance, in memory."""

    def __init__(self, manifest: bytes) -> None:
        self.files = {layout.MANIFEST: manifest, layout.SGX_LIBPAL: LIBPAL, layout.SIGNATURE: b""}
        self.hashes = {layout.LIBOS: "0" * 64}

    def read(self, name: str) -> bytes:
        return self.files[name]

    def digest(self, name: str) -> str:
        return self.hashes.get(name, "")

    def as_contents(self) -> TeeContents:
        return cast("TeeContents", self)


def look(contents: Contents, tmp_path: Path) -> None:
    """Do what verify and inspect do."""
    form, found = GramineFormat(), contents.as_contents()
    form.measured(found)
    form.policy(found)
    form.enclave(found)
    form.verify_instance(found)
    form.verify_rootfs(Rootfs((), merkle_reader=lambda _entry: b""), cast("Image", found), found, tmp_path)


def test_the_policy_is_read_back() -> None:
    policy = Policy(
        allow_arguments=True,
        allowed_environment=(AllowedVariable(name="PATH", unsafe=True), AllowedVariable(name="TOKEN")),
        volumes=(Volume(path="/data", executable=True), Volume(path="/file", executable=True)),
        allow_host_network_files=True,
    )
    network = tuple(f"file:/etc/{name}" for name in layout.NETWORK_FILE_NAMES)
    values = replace(
        VALUES,
        arguments=None,
        host_environment=("PATH", "TOKEN"),
        environment={},
        allowed_files=("file:/data/", "file:/file", *network),
    )
    manifest = tomllib.loads(make_manifest(values, {}).text.decode())
    assert policy_of(manifest) == policy
    assert policy_of(tomllib.loads(make_manifest(VALUES, {}).text.decode())) == Policy()


def test_a_measured_enclave_is_that_of_the_signature(tmp_path: Path) -> None:
    manifest = make_manifest(replace(VALUES, trusted_files={}), {})
    contents = Contents(manifest.text)
    measurement = manifest.measure(LIBPAL)
    contents.files[layout.SIGNATURE] = Sigstruct(measurement=measurement, date=0x20260102).to_bytes()
    look(contents, tmp_path)
    contents.files[layout.SIGNATURE] = Sigstruct(
        measurement=replace(measurement, isv_svn=9), date=0x20260102
    ).to_bytes()
    with pytest.raises(EnclavizeError, match="not that of this manifest"):
        GramineFormat().enclave(contents.as_contents())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"sgx = 1",
        b"[sgx]",
        b"[fs]\n[loader]\n[libos]\n",
        b"[fs]\n[loader]\n[libos]\n[sgx]\ntrusted_files = ['file:/x']\n",
        b"[fs]\n[loader]\n[libos]\n[sgx]\ntrusted_files = [{uri = 'file:/x'}]\n",
        b"[fs]\n[loader]\nenv_src_file = 'file:/x'\n[libos]\n[sgx]\ntrusted_files = []\n",
        b"[fs]\n[loader]\ninsecure__use_host_env = true\n[libos]\n[sgx]\ntrusted_files = []\n",
        b"[fs]\n[loader]\n[libos]\n[sgx]\ntrusted_files = []\nfile_check_policy = 'allow_all_but_log'\n",
        b"a = " + b"[" * 3000,
    ],
)
def test_manifests_that_say_too_little_or_too_much_are_refused(text: bytes, tmp_path: Path) -> None:
    with pytest.raises(EnclavizeError):
        look(Contents(text), tmp_path)


def test_damaged_manifests_give_typed_errors(tmp_path: Path) -> None:
    text = make_manifest(VALUES, {}).text
    generator = random.Random(3)
    for _ in range(scaled(5000)):
        damaged = bytearray(text)
        for _ in range(generator.randrange(1, 4)):
            start = generator.randrange(len(damaged))
            damaged[start : start + generator.choice([0, 1, 8, 40])] = generator.choice(
                [b"", b"\n", b'"', b"[", b"]", b"{", b"0", b"true", b"\n[sgx]\n"]
            )
        with pytest.raises(EnclavizeError):
            look(Contents(bytes(damaged)), tmp_path)


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("gramine/runtime/glibc/libc.so.6", True),
        ("gramine/runtime/glibc/ld-linux-x86-64.so.2", True),
        ("gramine/runtime/musl/libc.so", True),
        ("gramine/host/libprotobuf-c.so.1", True),
        ("gramine/host/libstdc++.so.6", True),
        ("gramine/runtime/glibc/../../x.so", False),
        ("gramine/runtime/other/libc.so", False),
        ("gramine/host/a/b.so", False),
        ("gramine/host/python3", False),
        ("instance/app.sig", True),
        ("instance/other", False),
    ],
)
def test_only_files_of_an_instance_are_known(path: str, known: bool) -> None:
    assert (GramineFormat().limit(path) is not None) == known


def test_a_signature_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(EnclavizeError):
        GramineFormat().sigstruct(b"x" * 1807)


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("loader", "insecure__use_host_env", True),
        ("loader", "env_src_file", "file:/x"),
        ("loader", "argv_src_file", "file:/x"),
        ("sgx", "file_check_policy", "allow_all_but_log"),
        ("fs", "insecure__keys", {"default": "00" * 16}),
    ],
)
def test_what_no_policy_can_say_is_refused(table: str, key: str, value: object) -> None:
    manifest: dict[str, dict[str, object]] = {"fs": {}, "loader": {}, "sgx": {}}
    assert policy_of(manifest) == Policy()
    manifest[table][key] = value
    with pytest.raises(EnclavizeError, match=key):
        policy_of(manifest)
    manifest["sgx"]["debug"] = True
    if table != "loader":
        assert policy_of(manifest) == Policy()
