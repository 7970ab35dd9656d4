"""RA-TLS, secret provisioning and preloads: asked for, in the image, or refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import UsageError
from enclavize.libos.gramine.backend import GramineBackend
from support.images import file
from unit.libos.gramine.test_backend import (
    OPTIONS,
    backend,
    bench,
    glibc_image,
    manifest_of,
    programs,
    toolchain,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unit.libos.gramine.test_backend import Bench

__all__ = ["backend", "bench", "programs"]

FOLDER = "/.enclave/gramine/runtime/glibc"
WITH_LIBRARIES = {
    "runtime/glibc/libra_tls_attest.so": b"ra-tls",
    "runtime/glibc/libsecret_prov_attest.so": b"secrets",
}
CA = {"SECRET_PROVISION_CA_CHAIN_PATH": "/ca.pem"}


def built(bench: Bench, programs: Mapping[str, bytes], table: dict[str, Any], *env: str) -> dict[str, Any]:
    bench.backend = GramineBackend(toolchain(programs, more=WITH_LIBRARIES))
    config = {"Entrypoint": ["/app"], "Env": list(env)}
    return manifest_of(bench.instance(glibc_image(programs), config, replace(OPTIONS, table=table)))


def listed(manifest: dict[str, Any]) -> list[str]:
    uris = [item["uri"].removeprefix("file:") for item in manifest["sgx"]["trusted_files"]]
    return [uri for uri in uris if uri.endswith("_attest.so")]


def test_the_libraries_are_listed_when_they_are_asked_for_only(
    bench: Bench, programs: Mapping[str, bytes]
) -> None:
    plain = built(bench, programs, {})
    assert listed(plain) == []
    assert plain["sgx"]["remote_attestation"] == "none"
    manifest = built(bench, programs, {"ra-tls": True})
    assert listed(manifest) == [f"{FOLDER}/libra_tls_attest.so"]
    assert manifest["sgx"]["remote_attestation"] == "dcap"
    assert "LD_PRELOAD" not in manifest["loader"]["env"]


def test_secret_provisioning_is_a_preload_with_its_variables(
    bench: Bench, programs: Mapping[str, bytes]
) -> None:
    table: dict[str, Any] = {
        "secret-provisioning": "https://secrets.example:4433;other:1",
        "loader": {"env": {**CA, "LD_PRELOAD": "/app"}},
        "fs": {"mounts": [{"type": "encrypted", "path": "/data", "uri": "file:/data", "key_name": "mine"}]},
    }
    manifest = built(bench, programs, table)
    environment = manifest["loader"]["env"]
    assert environment["LD_PRELOAD"] == f"{FOLDER}/libsecret_prov_attest.so:/app"
    assert environment["SECRET_PROVISION_SERVERS"] == "secrets.example:4433;other:1"
    assert environment["SECRET_PROVISION_CONSTRUCTOR"] == "1"
    assert environment["SECRET_PROVISION_SET_KEY"] == "mine"
    assert manifest["sgx"]["remote_attestation"] == "dcap"
    assert listed(manifest) == [f"{FOLDER}/libsecret_prov_attest.so"]


def test_a_preload_of_gramines_own_is_taken_from_the_toolchain(
    bench: Bench, programs: Mapping[str, bytes]
) -> None:
    table = {"loader": {"env": {"LD_PRELOAD": "libsecret_prov_attest.so"}}}
    manifest = built(bench, programs, table)
    assert manifest["loader"]["env"]["LD_PRELOAD"] == f"{FOLDER}/libsecret_prov_attest.so"
    assert listed(manifest) == [f"{FOLDER}/libsecret_prov_attest.so"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"loader": {"env": {"LD_PRELOAD": "libgone.so"}}}, "libgone.so, which is neither"),
        ({"loader": {"env": {"LD_PRELOAD": "/app /opt/gone.so"}}}, "/opt/gone.so, which is neither"),
        ({"loader": {"env": {"LD_PRELOAD": {"value": "libgone.so"}}}}, "libgone.so, which is neither"),
        ({"secret-provisioning": "a:1"}, "SECRET_PROVISION_CA_CHAIN_PATH is not set"),
        ({"secret-provisioning": "nowhere"}, "'nowhere' is no server"),
        ({"secret-provisioning": "a:99999"}, "'a:99999' is no server"),
        ({"secret-provisioning": 1}, "is not a text"),
        ({"ra-tls": "yes"}, "neither true nor false"),
        ({"ra-tls": True, "sgx": {"remote_attestation": "none"}}, "need quotes"),
        ({"ra-tls": True, "fs": {"mounts": 3}}, "fs.mounts"),
    ],
)
def test_what_would_be_dropped_or_cannot_work_is_refused(
    bench: Bench, programs: Mapping[str, bytes], table: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        built(bench, programs, table)


def test_what_the_toolchain_or_the_program_does_not_have_is_refused(
    bench: Bench, programs: Mapping[str, bytes]
) -> None:
    options = replace(OPTIONS, table={"ra-tls": True})
    with pytest.raises(UsageError, match=r"has no libra_tls_attest\.so for glibc"):
        bench.instance(glibc_image(programs), {"Entrypoint": ["/app"]}, options)
    with pytest.raises(UsageError, match="does not have: it is static"):
        bench.instance([file("app", programs["static"], 0o755)], {"Entrypoint": ["/app"]}, options)


def test_a_preload_of_the_image_that_is_missing_is_a_warning(
    bench: Bench, programs: Mapping[str, bytes]
) -> None:
    built(bench, programs, {}, "LD_PRELOAD=libgone.so")
    assert any("libgone.so, which the image does not have" in warning for warning in bench.warnings)
