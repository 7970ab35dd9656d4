"""Which devices of the host a container gets: the enclave's, and no other that nobody asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import UsageError
from enclavize.rune import sgx_devices
from enclavize.rune.container import Container, container_spec
from enclavize.rune.sgx_devices import PROVISION_DEVICES, Device, sgx_device
from enclavize.rune.spec import PAL_DEVICES, SGX_DEVICES

if TYPE_CHECKING:
    from collections.abc import Iterable


def test_provisioning_is_never_added() -> None:
    assert SGX_DEVICES == ("/dev/sgx_enclave",)
    assert not {*SGX_DEVICES, *PAL_DEVICES} & set(PROVISION_DEVICES)


@pytest.mark.parametrize("path", ["/dev/null", "/dev/sgx_enclave/", "sgx_provision", "/dev/mem", ""])
def test_other_devices_cannot_be_given(path: str) -> None:
    with pytest.raises(UsageError, match="uses no devices of the host but SGX's"):
        sgx_device(path)


def test_device_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing, file = str(tmp_path / "missing"), tmp_path / "file"
    file.touch()
    monkeypatch.setattr(sgx_devices, "PROVISION_DEVICES", (missing, str(file)))
    with pytest.raises(UsageError, match="No such file"):
        sgx_device(missing)
    with pytest.raises(UsageError, match="not a character device"):
        sgx_device(str(file))


def test_device_has_the_numbers_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sgx_devices, "PROVISION_DEVICES", ("/dev/zero",))
    status = Path("/dev/zero").stat()
    assert sgx_device("/dev/zero") == Device(
        path="/dev/zero", major=os.major(status.st_rdev), minor=os.minor(status.st_rdev)
    )


def _linux(devices: Iterable[Device], rootless: tuple[int, int] | None = None) -> dict[str, object]:
    container = Container(name="c", rootfs=Path("/r"), devices=tuple(devices), rootless=rootless)
    linux: dict[str, object] = container_spec(container)["linux"]
    return linux


def test_device_that_was_given_is_there_and_may_be_used() -> None:
    """The control group's rules are read in their order: all are refused, and then this one is not."""
    numbers = {"type": "c", "major": 10, "minor": 126}
    linux = _linux([Device(path="/dev/sgx_provision", major=10, minor=126)])
    assert linux["devices"] == [
        {"path": "/dev/sgx_provision", **numbers, "fileMode": 0o666, "uid": 0, "gid": 0}
    ]
    assert linux["resources"] == {
        "devices": [{"allow": False, "access": "rwm"}, {"allow": True, **numbers, "access": "rw"}]
    }


def test_without_devices_nothing_is_said_of_them() -> None:
    assert "devices" not in _linux([])
    assert "devices" not in _linux([], rootless=(1000, 1000))
    assert "resources" not in _linux(
        [Device(path="/dev/sgx_provision", major=10, minor=126)], rootless=(1, 1)
    )
