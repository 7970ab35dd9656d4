"""The configurations are those of Occlum's own tool, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from enclavize.libos.occlum.configuration import check_configuration
from enclavize.libos.occlum.internal_config import enclave_elements, system_configuration, user_configuration
from enclavize.libos.occlum.sefs.keys import parse_mac
from enclavize.libos.occlum.versions import parse_release

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "occlum" / "vectors.json").read_text())
INIT_MAC, ROOT_MAC = parse_mac(VECTORS["init_mac"]), parse_mac(VECTORS["root_mac"])


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["release"])
def test_what_is_made_of_occlum_json_is_what_occlum_makes(case: dict[str, Any]) -> None:
    made = check_configuration(case["document"], parse_release(case["release"]), edmm=case["edmm"])
    assert enclave_elements(made) == case["enclave"]
    assert system_configuration(made, INIT_MAC, ROOT_MAC).decode() == case["system"]
    if "user" in case:
        assert user_configuration(made, ROOT_MAC).decode() == case["user"]
