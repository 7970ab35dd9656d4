"""``--manifest``: manifests as Gramine Shielded Containers takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from enclavize.cli.grammar.gramine_manifest import ManifestOptions, added, manifest_options
from enclavize.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

# What the examples and tests of GSC's repository say, by key.
JAVA = """
libos.check_invalid_pointers = false
sgx.use_exinfo = true
sys.stack.size = "2M"
sgx.enclave_size = "8G"
sgx.max_threads = 128
loader.env.SERVER_PORT = { passthrough = true }
"""
OPENVINO = """
libos.check_invalid_pointers = false
loader.env.KMP_AFFINITY = "granularity=fine,noverbose,compact,1,0"
sgx.enclave_size = "32G"
sgx.preheat_enclave = true
sgx.max_threads = 196
"""
GENERIC = """
sgx.enclave_size = "4096M"
sgx.max_threads = 8
sgx.trusted_files = [ "file:/gramine/app_files/entrypoint.manifest" ]
"""


def options(path: Path, text: str, tables: dict[str, Any] | None = None) -> ManifestOptions:
    path.joinpath("app.manifest").write_text(text)
    return manifest_options(tables or {}, "gramine", path / "app.manifest")


def test_sizes_threads_and_variables_become_options(tmp_path: Path) -> None:
    java = options(tmp_path, JAVA)
    assert java.settings == (f"memory={8 << 30}", "threads=125")
    assert java.allowed_variables == ("SERVER_PORT",)
    assert java.tables["gramine"]["loader"]["env"] == {}
    assert options(tmp_path, OPENVINO).settings == (f"memory={32 << 30}", "threads=193")
    generic = options(tmp_path, GENERIC)
    assert generic.settings == (f"memory={4 << 30}", "threads=5")
    assert generic.tables["gramine"]["sgx"]["enclave_size"] == "4G"
    assert options(tmp_path, "") == ManifestOptions(tables={"gramine": {}})


def test_what_the_manifest_opens_is_opened(tmp_path: Path) -> None:
    found = options(
        tmp_path,
        'loader.insecure__use_cmdline_argv = true\nsgx.allowed_files = [ "file:/data/", "file:/etc/x" ]\n'
        "sgx.debug = true\nsgx.isvprodid = 7\nsgx.isvsvn = 0\n",
    )
    assert (found.volumes, found.allows_arguments, found.debug) == (("/data:exec", "/etc/x:exec"), True, True)
    assert (found.isv_prod_id, found.isv_svn) == (7, 0)


def test_the_table_of_a_file_opens_nothing_and_stands_behind_the_manifest(tmp_path: Path) -> None:
    assert not manifest_options({"gramine": {"sgx": {"debug": True}}}, "gramine", None).debug
    table = {"sgx": {"enclave_size": "1G", "allowed_files": ["file:/data/"]}, "keep": ["/usr/share/doc"]}
    found = manifest_options({"gramine": table}, "gramine", None)
    assert (found.settings, found.volumes) == ((f"memory={1 << 30}",), ())
    assert found.tables["gramine"]["sgx"]["allowed_files"] == ["file:/data/"]
    both = options(tmp_path, 'sgx.enclave_size = "2G"', {"gramine": table})
    assert both.settings == (f"memory={2 << 30}",)
    assert both.tables["gramine"]["keep"] == ["/usr/share/doc"]
    assert table["sgx"] == {"enclave_size": "1G", "allowed_files": ["file:/data/"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sgx.max_threads = 3", "none is left for the program"),
        ('sgx.enclave_size = "much"', "no size"),
        ("sgx.isvsvn = 65536", "0 to 65535"),
        ('sgx.allowed_files = ["file:data"]', "an absolute path"),
        ('sgx.allowed_files = ["dev:/dev/x"]', "an absolute path"),
        ("sgx.allowd_files = []", "unknown to Gramine"),
        ('loader.argv = ["{{ x }}"]', "template"),
        ("sgx = ", "no valid TOML"),
        ("sgx = 1", "table"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        options(tmp_path, text)


def test_other_libraries_take_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="for --libos gramine"):
        manifest_options({}, "occlum", tmp_path / "x")
    assert manifest_options({"occlum": {"a": 1}}, "occlum", None) == ManifestOptions()
    with pytest.raises(UsageError, match="No such file"):
        manifest_options({}, "gramine", tmp_path / "x")


def test_lists_are_joined() -> None:
    assert added(None, ["a"], []) is None
    assert added(None, ["a"], ["b"]) == ["a", "b"]
    assert added(["c"], ["a"], ["b", "c"]) == ["c", "b"]
