"""The way back: anybody can sign a configuration, so anything may stand in it."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import EnclavizeError, IntegrityError
from enclavize.libos.occlum import chain as chain_module
from enclavize.libos.occlum.chain import START, BoundStart, policy_of, read_chain
from enclavize.libos.occlum.configuration import check_configuration
from enclavize.libos.occlum.internal_config import image_config, system_configuration
from enclavize.libos.occlum.sefs.pack import pack
from enclavize.libos.occlum.sefs.protection import IntegrityOnly
from enclavize.libos.occlum.sefs.writer import ProtectedFileWriter
from enclavize.libos.occlum.tree_builder import TreeBuilder, data_file
from enclavize.libos.occlum.versions import parse_release
from enclavize.tee.policy import AllowedVariable, Policy, Volume
from unit.libos.occlum.documents import document

if TYPE_CHECKING:
    from pathlib import Path

RELEASE = parse_release("0.31.0")
BOUND = BoundStart(entrypoint=("/bin/app", "-v"), command=("now",), user="7:8", stop_signal=15)
START_FILE = BOUND.to_bytes()


class Instance:
    """The folder ``build`` of an instance, with any content in its files."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._mac = bytes(16)
        monkeypatch.setattr(chain_module, "read_mac", lambda _elf: self._mac)

    def write(
        self, *, system: bytes | None = None, config: bytes | None = None, start: bytes = START_FILE
    ) -> None:
        """Write both images and the configuration that binds them; ``system`` replaces the latter."""
        root, init = TreeBuilder(), TreeBuilder()
        root.put(b"data", data_file(b"content"))
        if config is None:
            config = image_config(RELEASE, encrypted=False, configuration_mac=None, key="")
        init.put(b"etc/image_config.json", data_file(config))
        init.put(START, data_file(start))
        for name in ("mount", "initfs"):
            (self.folder / name).mkdir()
        root_mac = pack(root.root(), self.folder / "mount" / "__ROOT").root_mac
        init_mac = pack(init.root(), self.folder / "initfs" / "__ROOT").root_mac
        text = system_configuration(check_configuration(document(), RELEASE), init_mac, root_mac)
        self.protect(text if system is None else system.replace(b"INIT", init_mac.hex("-").encode()))

    def protect(self, text: bytes) -> None:
        """Write the configuration."""
        name = ".Occlum_sys.json.protected"
        with (self.folder / name).open("wb") as output:
            writer = ProtectedFileWriter(IntegrityOnly())
            self._mac = writer.write(output, name.encode(), io.BytesIO(text), len(text))

    def read(self) -> chain_module.Chain:
        """Read it back."""
        elf: Any = None
        return read_chain(elf, self.folder)


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    """Return an instance to be written."""
    return Instance(tmp_path, monkeypatch)


def test_the_chain_is_followed_to_its_end(instance: Instance) -> None:
    instance.write()
    found = instance.read()
    assert found.start == BOUND
    assert not found.encrypted
    assert found.app["entry_points"] == ["/bin"]
    assert policy_of(found.app) == Policy(
        allow_arguments=True,
        allowed_environment=(AllowedVariable(name="EXAMPLE"),),
        allowed_exec=(("/bin",),),
        volumes=(Volume(path="/host", executable=True),),
        allow_host_network_files=True,
    )


def test_a_name_that_loads_code_is_told_as_unsafe() -> None:
    app = {"entry_points": ["/"], "env": {"untrusted": ["LD_PRELOAD", "A"]}, "mount": []}
    policy = policy_of(app)
    assert policy.allow_any_exec
    assert [(variable.name, variable.unsafe) for variable in policy.allowed_environment] == [
        ("A", False),
        ("LD_PRELOAD", True),
    ]


def test_a_configuration_of_another_enclave_is_refused(instance: Instance) -> None:
    instance.write()
    instance._mac = bytes(16)
    with pytest.raises(IntegrityError, match=r"\.Occlum_sys\.json\.protected: its MAC is"):
        instance.read()


SYSTEM = {
    "app": [
        {
            "stage": "init",
            "mount": [{"target": "/", "options": {"layers": [{"options": {"MAC": "INIT"}}]}}],
        },
        {
            "stage": "app",
            "entry_points": ["/a"],
            "mount": [{"target": "/", "options": {"layers": [{"options": {"MAC": "00" + "-00" * 15}}]}}],
        },
    ],
    "env": {"untrusted": []},
}
STRANGE: list[Any] = [None, 0, "", "x", [], {}, [[]], [0], {"stage": []}, [{"stage": "app"}]]


def variants(value: Any) -> list[Any]:
    """Return a JSON value with each of its parts replaced by each strange one, or left out."""
    found: list[Any] = list(STRANGE)
    match value:
        case dict():
            for name in value:
                found.append({key: item for key, item in value.items() if key != name})
                found.extend(value | {name: inner} for inner in variants(value[name]))
        case list():
            for index, item in enumerate(value):
                found.extend([*value[:index], inner, *value[index + 1 :]] for inner in variants(item))
        case _:
            pass
    return found


def test_no_configuration_however_strange_ends_in_anything_but_an_error(instance: Instance) -> None:
    instance.write(system=json.dumps(SYSTEM).encode())
    init_mac = instance.read().init_mac.hex("-")
    for variant in variants(SYSTEM):
        instance.protect(json.dumps(variant).replace("INIT", init_mac).encode())
        try:
            policy_of(instance.read().app)
        except EnclavizeError:
            continue


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{", b'{"a": NaN}', b'{"a": "\\ud800"}', b"\xff", b'{"a":' * 2000 + b"1" + b"}" * 2000],
)
def test_what_is_not_plain_json_is_refused(instance: Instance, text: bytes) -> None:
    instance.write(system=text)
    with pytest.raises(IntegrityError):
        instance.read()


@pytest.mark.parametrize("text", [b"{}", b"[]", b'{"entrypoint": 1, "command": []}', b'{"entrypoint": [1]}'])
def test_a_start_that_is_none_is_refused(instance: Instance, text: bytes) -> None:
    instance.write(start=text)
    with pytest.raises(IntegrityError):
        instance.read()


def test_whether_the_root_is_encrypted_is_measured(instance: Instance) -> None:
    instance.write(config=b'{"image_type": "encrypted"}')
    assert instance.read().encrypted
