"""init_ra_conf.json: what an init that gets its keys by remote attestation is told."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from enclavize.errors import UsageError
from enclavize.libos.occlum.init_ra import folder_problems, parse_ra_configuration, template
from enclavize.libos.occlum.tree_builder import TreeBuilder

OFF = {
    "verify_mr_enclave": "off",
    "verify_mr_signer": "off",
    "verify_isv_prod_id": "off",
    "verify_isv_svn": "off",
    "verify_config_svn": "off",
    "verify_enclave_debuggable": "off",
}
ENCLAVE = {
    "mr_enclave": "",
    "mr_signer": "ab" * 32,
    "isv_prod_id": 0,
    "isv_svn": 0,
    "config_svn": 0,
    "debuggable": False,
}
DOCUMENT: dict[str, Any] = {
    "kms_server": "keys.example:50051",
    "kms_keys": [{"key": "demo_key", "path": "/etc/demo_key"}],
    "ra_config": {**OFF, "verify_mr_signer": "on", "sgx_mrs": [ENCLAVE]},
}


def parsed(document: object) -> Any:
    return parse_ra_configuration(json.dumps(document).encode(), "conf")


def test_what_is_right_is_taken_as_it_is() -> None:
    found = parsed(DOCUMENT)
    assert found.text == json.dumps(DOCUMENT).encode()
    assert found.files == ("/etc/demo_key",)
    assert found.verifies
    assert not parsed(DOCUMENT | {"ra_config": {**OFF, "sgx_mrs": [ENCLAVE]}}).verifies


def test_the_template_waits_for_the_signer() -> None:
    with pytest.raises(UsageError, match=r"mr_signer is empty, and ra_config.verify_mr_signer is on"):
        parse_ra_configuration(template(), "conf")
    text = template().replace(b'"mr_signer": ""', b'"mr_signer": "%s"' % (b"0" * 64))
    assert parse_ra_configuration(text, "conf").verifies


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("kms_server", None, "kms_server is missing"),
        ("kms_server", "http://keys", "kms_server is not of the form HOST:PORT"),
        ("kms_server", 5, "kms_server is not of the form HOST:PORT"),
        ("kms_keys", {}, "kms_keys is not an array"),
        ("kms_keys/0", [], r"kms_keys\[0\] is not an object"),
        ("kms_keys/0/key", None, r"kms_keys\[0\].key is missing"),
        ("kms_keys/0/key", "", r"kms_keys\[0\].key is no name"),
        ("kms_keys/0/path", "etc/key", r"kms_keys\[0\].path is no absolute path"),
        ("kms_keys/0/service", "x", r"kms_keys\[0\].'service' is unknown"),
        ("ra_config", None, "ra_config is missing"),
        ("ra_config", [], "ra_config is not an object"),
        ("ra_config/verify_isv_svn", None, "ra_config.verify_isv_svn is missing"),
        ("ra_config/verify_isv_svn", True, 'ra_config.verify_isv_svn is neither "on" nor "off"'),
        ("ra_config/verify_all", "on", "ra_config.'verify_all' is unknown"),
        ("ra_config/sgx_mrs", [], "ra_config.sgx_mrs is empty"),
        ("ra_config/sgx_mrs", [1], "ra_config.sgx_mrs is not an array of objects"),
        ("ra_config/sgx_mrs/0/mr_signer", "", "mr_signer is empty, and ra_config.verify_mr_signer is on"),
        ("ra_config/sgx_mrs/0/mr_enclave", "xyz", "mr_enclave has not 64 hexadecimal digits"),
        ("ra_config/sgx_mrs/0/isv_svn", -1, "isv_svn is no number of 32 bits"),
        ("ra_config/sgx_mrs/0/isv_svn", True, "isv_svn is no number of 32 bits"),
        ("ra_config/sgx_mrs/0/debuggable", 0, "debuggable is neither true nor false"),
        ("ra_config/sgx_mrs/0/config_svn", None, "config_svn is missing"),
        ("comment", "x", "'comment' is unknown"),
    ],
)
def test_each_mistake_is_told(path: str, value: object, message: str) -> None:
    made = copy.deepcopy(DOCUMENT)
    *above, name = path.split("/")
    place: Any = made
    for step in above:
        place = place[int(step) if isinstance(place, list) else step]
    key = int(name) if isinstance(place, list) else name
    if value is None:
        del place[key]
    else:
        place[key] = value
    with pytest.raises(UsageError, match=message):
        parsed(made)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"a": 1, "a": 2}', b"[" * 100_000, b" " * (1 << 21)])
def test_other_than_a_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(UsageError, match=r"^conf "):
        parse_ra_configuration(text, "conf")


def test_files_of_secrets_need_a_folder() -> None:
    tree = TreeBuilder()
    assert "/etc/demo_key is to be written to" in next(folder_problems(tree, ["/etc/demo_key"]))
    tree.directory(b"etc")
    assert not list(folder_problems(tree, ["/etc/demo_key", "/top"]))
