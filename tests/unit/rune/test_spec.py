"""What rune changes in the configuration of a TEE container, and what it refuses."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

import enclavize.rune.spec as spec_module
from enclavize.errors import EnclavizeError
from enclavize.rune.mode import Mode
from enclavize.rune.plan import plan_document
from enclavize.rune.seccomp import DIRECT_MODE_RULE
from enclavize.rune.settings import Settings
from enclavize.rune.spec import MARK, tee_plan
from support.plans import apply_plan

ENTRYPOINT = "/.enclave/bin/runelet"
RUNELET = Path("/opt/enclavize/runelet")
HOOK = Path("/opt/enclavize/rune-hook")


def _spec(**process: Any) -> dict[str, Any]:
    return {
        "ociVersion": "1.0.2",
        "process": {"args": [ENTRYPOINT, "a"], "env": ["PATH=/bin", "EMPTY="], "cwd": "/", **process},
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "hooks": {"prestart": [{"path": "/bin/true"}]},
        "linux": {"resources": {"devices": [{"allow": False, "access": "rwm"}]}},
    }


def _change(
    spec: dict[str, Any],
    rootfs: Path = Path("/nonexistent"),
    mode: Mode = Mode.SIMULATION,
    settings: Settings | None = None,
    devices: tuple[str, ...] = (),
    *,
    direct_mode: bool = False,
    quotes: bool = False,
) -> dict[str, Any]:
    plan, _ = tee_plan(
        spec,
        rootfs=rootfs,
        bundle=rootfs.parent,
        runelet=RUNELET,
        hook=HOOK,
        mode=mode,
        settings=settings or Settings(),
        devices=devices,
        direct_mode=direct_mode,
        quotes=quotes,
    )
    placeholders = {
        "{rootfs}": str(rootfs),
        "{enclave}": str(rootfs / ".enclave"),
        "{device}": "8:1",
        "{origin}": "/images/7/.enclave",
    }
    return apply_plan(plan_document(plan, None), spec, placeholders)


@pytest.mark.parametrize("place", ["folder", "none", "file"])
def test_the_socket_for_quotes_is_mounted_where_it_is_there(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aesm = tmp_path / "aesmd"
    if place != "none":
        aesm.mkdir() if place == "folder" else aesm.touch()
    monkeypatch.setattr(spec_module, "AESM", str(aesm))
    for mode in (Mode.HARDWARE, Mode.SIMULATION):
        for quotes in (True, False):
            changed = _change(_spec(), mode=mode, quotes=quotes)
            assert _change(changed, mode=mode, quotes=quotes) == changed
            found = [mount for mount in changed["mounts"] if mount["destination"] == str(aesm)]
            assert len(found) == (place == "folder" and quotes and mode is Mode.HARDWARE)
    of_engine = _spec()
    of_engine["mounts"].append({"destination": str(aesm), "type": "bind", "source": "/other"})
    changed = _change(of_engine, mode=Mode.HARDWARE, quotes=True)
    assert str(aesm) not in [mount["source"] for mount in changed["mounts"]]


def test_the_runelet_of_the_host_covers_that_of_the_image() -> None:
    mount = _change(_spec())["mounts"][-1]
    assert (mount["source"], mount["destination"]) == (str(RUNELET), ENTRYPOINT)
    assert {"ro", "nosuid", "nodev"} < set(mount["options"])


def test_the_enclaves_folder_is_mounted_again_behind_all_mounts_of_the_engine(tmp_path: Path) -> None:
    spec = _spec()
    spec["mounts"].append({"destination": "/data", "type": "bind", "source": "/tmp"})
    before = copy.deepcopy(spec["mounts"])
    mounts = _change(spec, rootfs=tmp_path)["mounts"]
    assert mounts[:-2] == before
    assert (mounts[-2]["source"], mounts[-2]["destination"]) == (str(tmp_path / ".enclave"), "/.enclave")
    assert {"ro", "nosuid", "nodev"} < set(mounts[-2]["options"])


def test_the_rest_is_kept() -> None:
    before = _spec()
    after = _change(copy.deepcopy(before))
    assert after["hooks"]["prestart"] == before["hooks"]["prestart"]
    for name in ("ociVersion", "root", "linux"):
        assert after[name] == before[name]
    assert after["process"]["args"] == before["process"]["args"]
    assert after["process"]["cwd"] == "/"


def test_options_come_from_rune_and_never_from_the_container() -> None:
    spec = _spec(
        env=["A=b=c", "ENCLAVIZE_SIMULATE=1", "ENCLAVIZE_ROOT=/evil", "ENCLAVE_TYPE=intelSgx", "X=1", "X=2"]
    )
    assert _change(spec, mode=Mode.HARDWARE)["process"]["env"] == [
        "A=b=c",
        "X=1",
        "X=2",
        "ENCLAVIZE_LOG_LEVEL=warning",
    ]
    assert _change(spec)["process"]["env"] == [
        "A=b=c", "X=1", "X=2", "ENCLAVIZE_LOG_LEVEL=warning", "ENCLAVIZE_SIMULATE=1",
    ]  # fmt: skip


@pytest.mark.parametrize("enclu", ["trap", "step"])
def test_strict_simulation_is_none_of_hardware(enclu: str) -> None:
    spec = {**_spec(), "annotations": {"enclave.runtime.args": f"enclu={enclu}"}}
    assert f"ENCLAVIZE_ENCLU={enclu}" in _change(copy.deepcopy(spec))["process"]["env"]
    with pytest.raises(EnclavizeError, match="strict simulation"):
        _change(spec, mode=Mode.HARDWARE)


def test_an_annotation_chooses_the_log_level() -> None:
    spec = {**_spec(), "annotations": {"enclave.runtime.loglevel": "trace", "kept": "yes"}}
    changed = _change(spec, settings=Settings(log_level="error"))
    assert "ENCLAVIZE_LOG_LEVEL=trace" in changed["process"]["env"]
    assert changed["annotations"] == {**spec["annotations"], MARK: "1"}


def test_seccomp_lets_gramines_direct_mode_pass_and_nothing_else() -> None:
    spec = _spec()
    spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"]}]}
    changed = _change(copy.deepcopy(spec), direct_mode=True)
    assert changed["linux"]["seccomp"]["syscalls"] == [{"names": ["read"]}, DIRECT_MODE_RULE]
    assert _change(copy.deepcopy(changed), direct_mode=True) == changed
    assert _change(copy.deepcopy(spec))["linux"] == spec["linux"]
    open_profile = {**spec, "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}}
    assert _change(copy.deepcopy(open_profile), direct_mode=True)["linux"] == open_profile["linux"]
    assert "seccomp" not in _change(_spec(), direct_mode=True)["linux"]


def test_twice_is_once() -> None:
    once = _change(_spec())
    assert _change(copy.deepcopy(once)) == once


def test_a_hook_looks_at_the_mounts_after_those_of_the_engine(tmp_path: Path) -> None:
    spec = _spec()
    other = {"path": "/bin/true"}
    spec["hooks"]["createContainer"] = [other]
    hooks = _change(spec, rootfs=tmp_path)["hooks"]["createContainer"]
    arguments = ["rune-hook", str(tmp_path), "8:1", "/images/7/.enclave", str(RUNELET)]
    assert hooks == [other, {"path": str(HOOK), "args": arguments}]


@pytest.mark.parametrize("arguments", [["sh"], [], [f"/.{ENTRYPOINT}"]])
def test_another_entrypoint_is_refused(arguments: object) -> None:
    with pytest.raises(EnclavizeError, match="told to run"):
        _change(_spec(args=arguments))


def test_devices_of_the_host_are_added_once() -> None:
    devices = ("/dev/null", "/dev/zero", "/nonexistent", "/etc")
    spec = _spec()
    spec["linux"]["devices"] = [{"path": "/dev/zero", "type": "c", "major": 1, "minor": 5}]
    linux = _change(spec, mode=Mode.HARDWARE, devices=devices)["linux"]
    assert [(device["path"], device["major"], device["minor"]) for device in linux["devices"]] == [
        ("/dev/zero", 1, 5),
        ("/dev/null", 1, 3),
    ]
    assert linux["resources"]["devices"] == [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"},
        {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rw"},
    ]


def test_devices_of_another_driver_have_the_usual_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "enclavize.rune.spec._DCAP_NAMES", {"/dev/sgx_enclave": "/dev/zero", "/dev/null": "/dev/zero"}
    )
    spec = _spec()
    linux = _change(spec, mode=Mode.HARDWARE, devices=("/dev/sgx_enclave", "/dev/null"))["linux"]
    assert [(device["path"], device["major"], device["minor"]) for device in linux["devices"]] == [
        ("/dev/sgx_enclave", 1, 5),
        ("/dev/null", 1, 3),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("process", 7),
        ("process", {"args": [ENTRYPOINT], "env": [7]}),
        ("process", {}),
        ("process", {"args": ENTRYPOINT}),
        ("process", {"args": [ENTRYPOINT, 7]}),
        ("mounts", {"a": 1}),
        ("mounts", [7]),
        ("mounts", [{"type": "bind"}]),
        ("mounts", [{"destination": "/a\0b"}]),
        ("annotations", "x"),
        ("hooks", [7]),
        ("hooks", {"createContainer": {"path": "/x"}}),
    ],
)
def test_a_malformed_configuration_is_one_error(name: str, value: object) -> None:
    with pytest.raises(EnclavizeError):
        _change({**_spec(), name: value})
