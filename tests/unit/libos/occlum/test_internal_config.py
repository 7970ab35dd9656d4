"""What is made of Occlum.json for the LibOS and for the signer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from enclavize.libos.occlum.configuration import check_configuration
from enclavize.libos.occlum.internal_config import (
    enclave_config,
    enclave_elements,
    image_config,
    system_configuration,
    user_configuration,
)
from enclavize.libos.occlum.versions import parse_release
from unit.libos.occlum.documents import document

INIT_MAC, ROOT_MAC = bytes(range(16)), bytes(range(16, 32))
INIT_TEXT = "00-01-02-03-04-05-06-07-08-09-0a-0b-0c-0d-0e-0f"
ROOT_TEXT = "10-11-12-13-14-15-16-17-18-19-1a-1b-1c-1d-1e-1f"


def configured(version: str, *, edmm: bool = False, **limits: object) -> Any:
    made = document(version)
    made["resource_limits"] |= limits
    return check_configuration(made, parse_release(version), edmm=edmm)


COMMON = {
    "ProdID": 7, "ISVSVN": 3, "StackMaxSize": 1 << 20, "StackMinSize": 1 << 20, "HeapMinSize": 32 << 20,
    "TCSNum": 32, "DisableDebug": 1, "ReservedMemMaxSize": 300 << 20, "ReservedMemMinSize": 300 << 20,
    "ReservedMemInitSize": 300 << 20, "ReservedMemExecutable": 1,
}  # fmt: skip
KSS = dict.fromkeys(("EnableKSS", "ISVEXTPRODID_H", "ISVEXTPRODID_L", "ISVFAMILYID_H", "ISVFAMILYID_L"), 0)


@pytest.mark.parametrize(
    ("version", "more"),
    [
        ("0.21.0", {"HeapMaxSize": 32 << 20, "TCSPolicy": 1, "MiscSelect": 0, "MiscMask": 0xFFFFFFFF}),
        ("0.26.1", {"HeapMaxSize": 32 << 20, "TCSPolicy": 1, "MiscSelect": 0, "MiscMask": 0xFFFFFFFF} | KSS),
        (
            "0.29.4",
            {
                "HeapInitSize": 32 << 20, "HeapMaxSize": 1 << 30, "TCSPolicy": 1, "TCSMinPool": 32,
                "TCSMaxNum": 4096, "MiscSelect": 1, "MiscMask": 0, "PKRU": 0, **KSS,
            },
        ),
        (
            "0.30.1",
            {
                "HeapInitSize": 32 << 20, "HeapMaxSize": 32 << 20, "TCSPolicy": 1, "TCSMinPool": 32,
                "TCSMaxNum": 32, "MiscSelect": 0, "MiscMask": 0, "PKRU": 0, "AMX": 0, **KSS,
            },
        ),
        (
            "0.31.0",
            {
                "HeapInitSize": 32 << 20, "HeapMaxSize": 32 << 20, "TCSPolicy": 0, "TCSMinPool": 32,
                "TCSMaxNum": 32, "MiscSelect": 0, "MiscMask": 0, "PKRU": 0, "AMX": 0, **KSS,
            },
        ),
    ],
)  # fmt: skip
def test_the_enclave_has_the_values_of_its_release(version: str, more: dict[str, int]) -> None:
    made = configured(version)
    assert enclave_elements(made) == COMMON | more
    enclave_config(made)


def test_with_edmm_the_enclave_can_grow() -> None:
    made = configured("0.31.0", edmm=True)
    elements = enclave_elements(made)
    assert elements["TCSNum"] == elements["TCSMinPool"] == 16
    assert elements["TCSMaxNum"] == 4096
    assert (elements["HeapInitSize"], elements["HeapMaxSize"]) == (32 << 20, 1 << 30)
    assert elements["ReservedMemInitSize"] == elements["ReservedMemMaxSize"] == 300 << 20
    assert elements["UserRegionSize"] == 17 << 30
    assert (elements["MiscSelect"], elements["MiscMask"]) == (1, 0xFFFFFFFF)
    enclave_config(made)


def test_with_edmm_a_full_user_space_gets_no_extra() -> None:
    elements = enclave_elements(configured("0.31.0", edmm=True, user_space_size="16GB"))
    assert elements["UserRegionSize"] == 16 << 30


def test_without_edmm_the_largest_sizes_are_taken_from_the_start() -> None:
    made = configured("0.31.0", user_space_max_size="1GB", kernel_space_heap_max_size="64MB")
    elements = enclave_elements(made)
    assert elements["ReservedMemInitSize"] == 1 << 30
    assert elements["HeapInitSize"] == elements["HeapMaxSize"] == 64 << 20
    assert "UserRegionSize" not in elements


def test_ids_of_the_family_and_the_product_are_signed() -> None:
    made = document()
    made["metadata"] |= {
        "enable_kss": True,
        "family_id": {"high": "0x1", "low": "ff"},
        "ext_prod_id": {"high": "0x0", "low": "0x8000000000000000"},
    }
    elements = enclave_elements(check_configuration(made, parse_release("0.31.0")))
    assert [elements[name] for name in KSS] == [1, 0, 1 << 63, 1, 255]


def test_one_configuration_has_both_macs() -> None:
    made = json.loads(system_configuration(configured("0.31.0"), INIT_MAC, ROOT_MAC))
    assert list(made) == ["resource_limits", "process", "env", "disable_log", "app", "feature"]
    assert made["resource_limits"] == {
        "user_space_init_size": "314572800B",
        "user_space_max_size": "314572800B",
    }
    assert made["disable_log"] is True
    init, app = made["app"]
    assert init["mount"][0]["options"]["layers"][0]["options"]["MAC"] == INIT_TEXT
    assert init["entry_points"] == app["entry_points"] == ["/bin"]
    assert [mount["target"] for mount in app["mount"]] == ["/proc", "/dev", "/", "/host"]
    assert app["mount"][2]["options"]["layers"][0]["options"]["MAC"] == ROOT_TEXT
    assert list(made["feature"]) == ["amx", "pkru", "io_uring", "enable_edmm", "enable_posix_shm"]


def test_a_release_gets_no_member_that_it_would_refuse() -> None:
    assert (
        "io_uring"
        not in json.loads(system_configuration(configured("0.30.1"), INIT_MAC, ROOT_MAC))["feature"]
    )
    made = json.loads(system_configuration(configured("0.29.7"), INIT_MAC, ROOT_MAC))
    assert list(made) == ["resource_limits", "process", "env", "app"]
    assert made["resource_limits"] == {"user_space_size": "300MB"}


def test_two_configurations_have_one_mac_each() -> None:
    made = configured("0.29.5")
    system = json.loads(system_configuration(made, INIT_MAC, None))
    user = json.loads(user_configuration(made, ROOT_MAC))
    assert list(system) == list(user) == ["resource_limits", "process", "entry_points", "env", "mount"]
    assert system["mount"][0]["options"]["layers"][0]["options"]["MAC"] == INIT_TEXT
    assert user["mount"][0]["options"]["layers"][0]["options"]["MAC"] == ROOT_TEXT
    assert ROOT_TEXT not in json.dumps(system)


def test_making_a_configuration_leaves_the_document_as_it_is() -> None:
    made = configured("0.31.0")
    system_configuration(made, INIT_MAC, ROOT_MAC)
    assert made.document == document()


def test_options_with_default_values_are_left_out() -> None:
    made = document()
    made["mount"].append({"target": "/tmp", "type": "ramfs", "options": {"temporary": False}})
    text = system_configuration(check_configuration(made, parse_release("0.31.0")), INIT_MAC, ROOT_MAC)
    assert json.loads(text)["app"][1]["mount"][-1] == {"target": "/tmp", "type": "ramfs"}


@pytest.mark.parametrize(
    ("version", "encrypted", "mac", "key", "expected"),
    [
        ("0.31.0", False, None, "", {"image_type": "integrity-only"}),
        ("0.31.0", True, None, ROOT_TEXT, {"image_type": "encrypted"}),
        ("0.24.1", True, INIT_MAC, ROOT_TEXT, {"image_type": "encrypted", "occlum_json_mac": INIT_TEXT}),
        ("0.21.0", False, INIT_MAC, "", {"occlum_json_mac": INIT_TEXT}),
        ("0.21.0", True, INIT_MAC, ROOT_TEXT, {"occlum_json_mac": INIT_TEXT, "key": ROOT_TEXT}),
    ],
)
def test_init_is_told_what_its_release_reads(
    version: str, encrypted: bool, mac: bytes | None, key: str, expected: dict[str, str]
) -> None:
    text = image_config(parse_release(version), encrypted=encrypted, configuration_mac=mac, key=key)
    assert json.loads(text) == expected
