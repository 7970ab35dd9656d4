"""Options in a configuration file, and how the command line overrides them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclavize.cli.grammar.configured import Configured
from enclavize.cli.grammar.policy import parse_allowed_variables, parse_commands, parse_volumes
from enclavize.cli.grammar.setting import parse_settings
from enclavize.errors import UsageError
from enclavize.libos.base import Resources
from enclavize.pipeline.configuration import load_configuration

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """\
# A comment
libos = "gramine"
toolchain = "oci:toolchain:1"
isvprodid = 7
date = 2024-05-06
force = ["OCC008"]

[resources]
memory = "2G"
threads = 16

[policy]
allow-args = true
allow-env = ["TZ", "LD_PRELOAD:unsafe"]
allow-exec = ["ls -l"]
volume = ["/data:ro"]

[label]
"org.example" = "x"

[gramine.sgx]
edmm_enable = true
[gramine.fs]
mounts = [{ path = "/tmp", type = "tmpfs" }]
"""


def written(folder: Path, text: str) -> Path:
    """Write a configuration file."""
    path = folder / "enclavize.toml"
    path.write_text(text)
    return path


@pytest.fixture
def whole(tmp_path: Path) -> Configured:
    """Give the configuration above."""
    return Configured.load(written(tmp_path, WHOLE))


def test_values_of_the_file_are_taken(whole: Configured) -> None:
    assert whole.one("", "libos", None, str) == "gramine"
    assert whole.one("", "isvprodid", None, int) == 7
    assert whole.one("", "isvsvn", None, int) is None
    assert whole.one("", "date", None, str) == "2024-05-06"
    assert whole.flag("policy", "allow-args", given=False)
    assert not whole.flag("policy", "allow-host-network-files", given=False)
    variables = whole.several("policy", "allow-env", None, parse_allowed_variables)
    assert [(variable.name, variable.unsafe) for variable in variables] == [
        ("LD_PRELOAD", True),
        ("TZ", False),
    ]
    assert whole.several("policy", "allow-exec", None, parse_commands) == (False, (("ls", "-l"),))
    assert whole.several("policy", "volume", None, parse_volumes)[0].read_only
    assert whole.settings("resources", [], parse_settings) == Resources(memory=2 << 30, threads=16)
    assert whole.pairs("label", [], list) == ["org.example=x"]


def test_the_command_line_wins(whole: Configured) -> None:
    assert whole.one("", "libos", "occlum", str) == "occlum"
    assert whole.one("", "isvprodid", 0, int) == 0
    assert whole.flag("policy", "allow-host-network-files", given=True)
    variables = whole.several("policy", "allow-env", ["HOME"], parse_allowed_variables)
    assert [variable.name for variable in variables] == ["HOME"]
    settings = whole.settings("resources", ["memory=1G", "kernel-heap=64M"], parse_settings)
    assert settings == Resources(memory=1 << 30, threads=16, kernel_heap=64 << 20)
    assert whole.pairs("label", ["a=b"], list) == ["org.example=x", "a=b"]


def test_tables_of_liboses_are_passed_through(whole: Configured) -> None:
    assert whole.tables == {
        "gramine": {"sgx": {"edmm_enable": True}, "fs": {"mounts": [{"path": "/tmp", "type": "tmpfs"}]}}
    }


def test_without_a_file_everything_is_as_on_the_command_line() -> None:
    none = Configured.load(None)
    assert none.one("", "libos", None, str) is None
    assert none.several("policy", "allow-exec", None, parse_commands) == (False, ())
    assert none.settings("resources", [], parse_settings) == Resources()


def test_any_command_is_allowed_by_true(tmp_path: Path) -> None:
    file = Configured.load(written(tmp_path, "[policy]\nallow-exec = true\n"))
    assert file.several("policy", "allow-exec", None, parse_commands) == (True, ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nlibso = 'gramine'", "line 2: libso is unknown"),
        ("[policy]\nallow-arg = true", "line 2: policy.allow-arg is unknown"),
        ("[graphene]", "line 1: graphene is unknown"),
        ("[resources]\nmemory = 1.5", "line 2: resources.memory is not a size"),
        ("[resources]\n\nthreads = '4'", "line 3: resources.threads is not a number from 0 to 4096"),
        ("policy = 1", "line 1: policy is not a table"),
        ("policy.allow-args = 'yes'", "line 1: policy.allow-args is neither true nor false"),
        ("[policy]\nallow-env = 'TZ'", "line 2: policy.allow-env is not a list of texts"),
        ("[policy]\nallow-exec = [1]", "line 2: policy.allow-exec is neither true nor a list of commands"),
        ("isvsvn = 65536", "line 1: isvsvn is not a number from 0 to 65535"),
        ("[label]\n'a=b' = 'c'", "line 1: label has a name with an equals sign"),
        ("libos = 'x'\n[gramine]\nsince = 2024-01-01", "line 2: gramine has a date or time in gramine.since"),
        ("[occlum]\nx = [inf]", "line 1: occlum has an infinite number in occlum.x"),
        ("x = ", "enclavize.toml: Invalid value"),
        ("[gramine]\nx = " + "[" * 40 + "]" * 40, "line 1: gramine has tables nested too deeply"),
        ("x = " + "[" * 100_000, "enclavize.toml: "),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_configuration(written(tmp_path, text))
    assert message in str(caught.value)
    assert "enclavize.toml" in str(caught.value)


def test_what_an_option_refuses_is_refused_in_the_file(tmp_path: Path) -> None:
    path = written(
        tmp_path, '[resources]\nthreads = 3\nmemory = "1K"\n[policy]\nallow-env = ["LD_PRELOAD"]\n'
    )
    file = Configured.load(path)
    with pytest.raises(UsageError, match=r"line 3: --set memory=1K: an enclave has from"):
        file.settings("resources", [], parse_settings)
    with pytest.raises(UsageError, match=r"line 5: --allow-env LD_PRELOAD: whoever") as caught:
        file.several("policy", "allow-env", None, parse_allowed_variables)
    assert "LD_PRELOAD:unsafe" in str(caught.value.hint)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the configuration"):
        load_configuration(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"binary\.toml: 'utf-8' codec"):
        load_configuration(tmp_path / "binary.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(UsageError, match="at most 1048576 bytes"):
        load_configuration(tmp_path / "large.toml")
