"""Manifests say exactly what they are given; the user's table cannot open what the policy closes."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclavize.errors import InvalidImageError, UsageError
from enclavize.libos.gramine.manifest import (
    LibosFile,
    ManifestValues,
    Mount,
    enclave_size,
    make_manifest,
    render,
    size_text,
)
from enclavize.libos.gramine.schema import check
from enclavize.sgx.gramine_manifest import complete_manifest
from support.scale import scaled

VALUES = ManifestValues(
    entrypoint="/bin/app",
    arguments=("app",),
    uid=0,
    gid=0,
    libos=LibosFile(uri="file:/.enclave/gramine/libsysdb.so", sha256="0" * 64),
    environment={"PATH": "/bin"},
    host_environment=(),
    working_directory="/",
    mounts=(Mount(type="tmpfs", path="/tmp"),),
    debug=False,
    enclave_size=1 << 30,
    max_threads=8,
    isv_prod_id=1,
    isv_svn=2,
    allowed_files=(),
    trusted_files={"/bin/app": "1" * 64},
)

texts = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
    | st.sampled_from(["\n", "\r", "\t", '"', "'", "\\", '"""', "{{ x }}", "{% %}", "{#", "\x7f", "é"]),
    max_size=5,
).map("".join)
names = texts.filter(bool)
few = settings(max_examples=scaled(1000), deadline=None)


def made(table: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return tomllib.loads(make_manifest(replace(VALUES, **changes), table or {}).text.decode())


@few
@given(
    arguments=st.lists(texts, min_size=1).map(tuple),
    environment=st.dictionaries(names, texts),
    directory=texts,
    paths=st.dictionaries(texts, st.just("a" * 64), max_size=5),
    allowed=st.lists(texts, max_size=3).map(tuple),
)
def test_a_manifest_holds_any_text_as_it_is(
    arguments: tuple[str, ...],
    environment: dict[str, str],
    directory: str,
    paths: dict[str, str],
    allowed: tuple[str, ...],
) -> None:
    values = replace(
        VALUES,
        arguments=arguments,
        environment=environment,
        working_directory=directory,
        trusted_files=paths,
        allowed_files=allowed,
    )
    manifest = tomllib.loads(make_manifest(values, {}).text.decode())
    assert manifest["loader"]["argv"] == list(arguments)
    assert manifest["loader"]["env"] == environment
    assert manifest["fs"]["start_dir"] == directory
    assert manifest["sgx"]["allowed_files"] == list(allowed)
    trusted = {file["uri"]: file["sha256"] for file in manifest["sgx"].get("trusted_files", [])}
    assert trusted == {f"file:{path}": sha256 for path, sha256 in paths.items()}


@few
@given(table=st.fixed_dictionaries({"loader": st.fixed_dictionaries({"env": st.dictionaries(names, texts)})}))
def test_the_users_variables_come_in_unchanged(table: dict[str, Any]) -> None:
    assert made(table)["loader"]["env"] == {**VALUES.environment, **table["loader"]["env"]}


def test_the_manifest_is_complete_and_completing_it_again_changes_nothing() -> None:
    text = make_manifest(VALUES, {"sgx": {"edmm_enable": True}}).text
    assert complete_manifest(text).text == text
    check(tomllib.loads(text.decode()))


@pytest.mark.parametrize("value", ["\udc80", "a\0b"])
def test_what_is_no_text_is_refused(value: str) -> None:
    with pytest.raises(InvalidImageError, match="cannot hold"):
        render(replace(VALUES, environment={"A": value}))


def test_the_host_gives_arguments_and_variables_only_where_it_may() -> None:
    loader = made(arguments=None, host_environment=("TOKEN",))["loader"]
    assert loader["insecure__use_cmdline_argv"] is True
    assert "argv" not in loader
    assert loader["env"]["TOKEN"] == {"passthrough": True}
    assert "insecure__use_cmdline_argv" not in made()["loader"]


@pytest.mark.parametrize(
    ("memory", "size", "text"),
    [
        (1 << 30, 1 << 30, "1G"),
        ((1 << 30) + 1, 2 << 30, "2G"),
        (600 << 20, 1 << 30, "1G"),
        (1 << 20, 1 << 20, "1M"),
        (56 << 30, 64 << 30, "64G"),
    ],
)
def test_sizes_become_powers_of_two(memory: int, size: int, text: str) -> None:
    assert enclave_size(memory) == size
    assert size_text(size) == text


def test_the_users_table_is_merged() -> None:
    manifest = made(
        {
            "sys": {"stack": {"size": "2M"}},
            "sgx": {"remote_attestation": "dcap", "cpu_features": {"avx": "required"}},
            "fs": {"mounts": [{"type": "encrypted", "path": "/secret", "uri": "file:/data/secret"}]},
            "loader": {"log_level": "warning"},
        }
    )
    assert manifest["sys"] == {"enable_sigterm_injection": True, "stack": {"size": "2M"}}
    assert manifest["sgx"]["cpu_features"]["avx"] == "required"
    assert manifest["sgx"]["cpu_features"]["amx"] == "unspecified"
    assert [mount["path"] for mount in manifest["fs"]["mounts"]] == ["/tmp", "/secret"]
    assert manifest["loader"]["log_level"] == "warning"


def test_what_is_the_same_is_no_contradiction() -> None:
    assert made({"sgx": {"debug": False, "isvprodid": 1, "enclave_size": "1G"}}) == made()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"sgx": {"debug": True}}, r"sgx\.debug = true contradicts the build, which has false"),
        ({"sgx": {"enclave_size": "2G"}}, r"sgx\.enclave_size = '2G' contradicts"),
        ({"sgx": {"max_threads": 4}}, "contradicts"),
        ({"sgx": {"isvsvn": 9}}, "contradicts"),
        ({"sgx": {"allowed_files": ["file:/etc/"]}}, "contradicts"),
        ({"sgx": {"profile": {"enable": "main"}}}, "profiles debug enclaves alone"),
        ({"loader": {"entrypoint": {"uri": "file:/other.so"}}}, "contradicts"),
        ({"loader": {"insecure__use_cmdline_argv": True}}, "has no such key"),
        ({"loader": {"insecure__use_host_env": True}}, "has no such key"),
        ({"loader": {"argv": ["other"]}}, "contradicts"),
        ({"libos": {"entrypoint": "/other"}}, "contradicts"),
        ({"fs": {"root": {"type": "tmpfs"}}}, "contradicts"),
        ({"loader": {"env": {"A": {"passthrough": True}}}}, "lets the host set"),
        ({"loader": {"env": {"A": {"passthrough": False}}}}, "another form"),
        ({"loader": {"env": {"A": 1}}}, "another form"),
        ({"sgx": {"file_check_policy": "allow_all_but_log"}}, "lets the host change all files"),
        ({"fs": {"insecure__keys": {"default": "00" * 16}}}, "everybody can read"),
        ({"fs": {"mounts": [{"path": "/x", "uri": "file:/proc/1"}]}}, "is the host's"),
        ({"fs": {"mounts": [{"path": "x", "uri": "file:/y"}]}}, "must be absolute"),
        ({"fs": {"mounts": [{"path": "/x"}]}}, "no uri"),
        ({"fs": {"mounts": [{"path": "/x", "uri": "file:/y", "typo": 1}]}}, "unknown to Gramine"),
        ({"fs": {"mounts": {}}}, "is a list"),
        ({"sgx": {"thread_num": 8}}, r"sgx\.thread_num is unknown"),
        ({"sgx": {"preheat_enclave": 1}}, "type bool"),
        ({"sgx": []}, "is a table"),
        ({"sgx": {"remote_attestation": "epid"}}, "one of dcap, none"),
        ({"Loader": {}}, "Loader is unknown"),
        ({"sgx": {"insecure__rpc_thread_num": 257}}, "between 0 and 256"),
        ({"sgx": {"insecure__rpc_thread_num": -1}}, "between 0 and 256"),
        ({"sgx": {"preheat_enclave": True, "edmm_enable": True}}, "contradicts sgx.edmm_enable"),
        ({"sys": {"fds": {"limit": 65537}}}, "between 0 and 65536"),
        ({"sys": {"stack": {"size": "2MB"}}}, "no size"),
        ({"sys": {"brk": {"max_size": "-1"}}}, "no size"),
    ],
)
def test_contradictions_and_unknown_keys_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_manifest(VALUES, table)


def test_more_threads_than_the_loader_takes_are_refused() -> None:
    assert made(max_threads=4096)["sgx"]["max_threads"] == 4096
    with pytest.raises(UsageError, match="at most 4096"):
        made(max_threads=4097)
    with pytest.raises(UsageError, match="share a queue"):
        made({"sgx": {"insecure__rpc_thread_num": 1}}, max_threads=1025)


def test_debug_images_may_switch_checks_off() -> None:
    table = {"sgx": {"file_check_policy": "allow_all_but_log"}, "fs": {"insecure__keys": {"a": "00" * 16}}}
    assert made(table, debug=True)["sgx"]["file_check_policy"] == "allow_all_but_log"
