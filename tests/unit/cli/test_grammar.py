"""Every option value is parsed into an object, or refused with a reason."""

import datetime as dt
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclavize.cli.grammar.annotation import parse_annotations, parse_labels
from enclavize.cli.grammar.date import parse_date, parse_epoch
from enclavize.cli.grammar.expectations import parse_expectations
from enclavize.cli.grammar.optional import complete_optional_values
from enclavize.cli.grammar.policy import parse_allowed_variables, parse_exec, parse_volumes
from enclavize.cli.grammar.setting import parse_settings
from enclavize.cli.grammar.signer import parse_signer
from enclavize.cli.grammar.size import parse_size
from enclavize.cli.passphrase import passphrase_reader
from enclavize.errors import EnclavizeError, UsageError
from enclavize.libos.base import Resources
from enclavize.libos.loader_names import is_loader_like
from enclavize.pipeline.options import KeySigner, NoSigner, ServiceSigner
from enclavize.tee.expectations import Expectations
from enclavize.tee.policy import AllowedVariable, Volume

SIGNER = "ab" * 32


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("1k", 1024),
        ("512M", 512 << 20),
        ("512mb", 512 << 20),
        ("2GiB", 2 << 30),
        ("1 T", 1 << 40),
    ],
)
def test_sizes_use_powers_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5G", "1GG", "1e9", "0x10", "\u0661", "1" * 40])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a size"):
        parse_size(text)


def test_settings_have_defaults_and_are_rounded_to_pages() -> None:
    assert parse_settings([]) == Resources(memory=1 << 30, threads=64)
    assert parse_settings(["memory=1048577", "threads=8"]) == Resources(memory=(1 << 20) + 4096, threads=8)
    assert parse_settings(["kernel-heap=32M"]) == Resources(kernel_heap=32 << 20)
    assert parse_settings(["fault-around=64K"]) == Resources(fault_around=64 << 10)
    assert parse_settings(["switchless=2"]) == Resources(switchless=2)


@pytest.mark.parametrize(
    "text",
    [
        "memory",
        "memory=1k",
        "memory=57G",
        "threads=0",
        "threads=4097",
        "threads=x",
        "threads=²",
        "heap=1M",
        "fault-around=0",
        "switchless=5",
        "switchless=-1",
        "switchless=01",
        "switchless=",
        "fault-around=6k",
        "fault-around=65M",
        "=1",
    ],
)
def test_other_settings_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_settings([text])
    with pytest.raises(UsageError, match="twice"):
        parse_settings(["threads=1", "threads=1"])


def test_allowed_variables_are_sorted_names() -> None:
    assert parse_allowed_variables(["B", "A", "B"]) == (AllowedVariable(name="A"), AllowedVariable(name="B"))


@pytest.mark.parametrize(
    "name",
    [
        "LD_PRELOAD",
        "LD_ANYTHING",
        "PYTHONPATH",
        "NODE_OPTIONS",
        "PATH",
        "BASH_ENV",
        "GCONV_PATH",
        "JAVA_TOOL_OPTIONS",
    ],
)
def test_loader_like_names_must_be_called_unsafe(name: str) -> None:
    assert is_loader_like(name)
    with pytest.raises(UsageError, match="other code") as caught:
        parse_allowed_variables([name])
    assert f"{name}:unsafe" in (caught.value.hint or "")
    assert parse_allowed_variables([f"{name}:unsafe"]) == (AllowedVariable(name=name, unsafe=True),)


@pytest.mark.parametrize("text", ["", "1A", "A=b", "A:safe", "A B", "A:unsafe:unsafe", "Ä"])
def test_other_variables_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_allowed_variables([text])


def test_volumes_carry_their_rights() -> None:
    assert parse_volumes(["/b:ro", "/a/x/:exec:ro", "/c:rw"]) == (
        Volume(path="/a/x", read_only=True, executable=True),
        Volume(path="/b", read_only=True),
        Volume(path="/c"),
    )


def test_one_volume_may_be_among_the_devices() -> None:
    assert parse_volumes(["/dev/termination-log"]) == (Volume(path="/dev/termination-log"),)


@pytest.mark.parametrize(
    "texts",
    [
        ["/dev/termination-log/x"], ["/dev"], ["/dev/termination-logs"],
        ["data"], ["/"], ["//"], ["/a/../b"], ["/a:wo"], ["/a:ro:ro"], ["/a:ro:rw"], ["/h:/data"],
        ["/a", "/a/"], ["/.enclave/bin"], ["/proc"], ["/dev/x"], ["/a", "/a/b"], [""],
    ],
)  # fmt: skip
def test_other_volumes_are_refused(texts: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_volumes(texts)


def test_exec_commands_are_split_as_a_shell_would() -> None:
    assert parse_exec("sh -c 'echo a  b'") == ("sh", "-c", "echo a  b")
    for text in ("", "'", " "):
        with pytest.raises(UsageError):
            parse_exec(text)


@pytest.mark.parametrize(
    ("arguments", "completed"),
    [
        (["build", "--allow-exec", "image:1"], ["build", "--allow-exec=*", "image:1"]),
        (["build", "--allow-exec", "oci:lay out:1"], ["build", "--allow-exec=*", "oci:lay out:1"]),
        (["build", "x", "--allow-exec"], ["build", "x", "--allow-exec=*"]),
        (["build", "--allow-exec", "--push", "x"], ["build", "--allow-exec=*", "--push", "x"]),
        (["build", "--allow-exec", "/bin/sh", "x"], ["build", "--allow-exec=/bin/sh", "x"]),
        (["build", "--allow-exec", "ls -l", "x"], ["build", "--allow-exec=ls -l", "x"]),
        (["build", "--allow-exec=ls", "x"], ["build", "--allow-exec=ls", "x"]),
        (["build", "--", "--allow-exec"], ["build", "--", "--allow-exec"]),
        (["run", "x", "--allow-exec"], ["run", "x", "--allow-exec"]),
    ],
)
def test_allow_exec_may_stand_without_a_command(arguments: list[str], completed: list[str]) -> None:
    assert complete_optional_values(arguments) == completed


def test_annotations_take_the_manifest_level_only() -> None:
    assert parse_annotations(["a=1", "manifest:b=2=3", "manifest[linux/amd64]:c=", "a=4"]) == {
        "a": "4",
        "b": "2=3",
        "c": "",
    }
    for text in (
        "index:a=b",
        "index-descriptor:a=b",
        "manifest,index:a=b",
        "manifest-descriptor:a=b",
        "a",
        "=b",
    ):
        with pytest.raises(UsageError):
            parse_annotations([text])


def test_labels_may_be_empty_and_ours_cannot_be_set() -> None:
    assert parse_labels(["a=1", "b"]) == {"a": "1", "b": ""}
    for parse in (parse_labels, parse_annotations):
        with pytest.raises(UsageError, match="tells engines how to run the container"):
            parse(["run.oci.handler=krun"])
    for parse in (parse_labels, parse_annotations):
        with pytest.raises(UsageError, match="given by the build"):
            parse(["org.enclavize.mrenclave=x"])


def test_dates() -> None:
    assert parse_date("2026-01-02") == dt.date(2026, 1, 2)
    for text in ("2026-13-01", "1970-01-01", "today", "20260102", ""):
        with pytest.raises(UsageError):
            parse_date(text)


def test_source_date_epoch() -> None:
    assert parse_epoch(None) is None
    assert parse_epoch("") is None
    assert parse_epoch("1767225600") == 1767225600
    for text in ("-1", "1.5", "x", "9" * 30, "²"):
        with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
            parse_epoch(text)


def expectations(**options: object) -> Expectations:
    defaults: dict[str, object] = {
        "signers": [], "measurements": [], "isv_prod_id": None, "min_svn": None, "allow_debug": False,
        "allow_any_signer": False, "policy": None,
    }  # fmt: skip
    return parse_expectations(**{**defaults, **options})  # type: ignore[arg-type] # one helper for all options


def test_expectations_come_from_options_and_file(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(f'signers = ["{SIGNER}"]\nmin_svn = 3\nisvprodid = 1\nallow_debug = true\n')
    assert expectations(policy=policy) == Expectations(
        signers=frozenset({SIGNER}), min_svn=3, isv_prod_id=1, allow_debug=True
    )
    assert expectations(policy=policy, min_svn=4, signers=["CD" * 32]).signers == {"cd" * 32}
    assert expectations(policy=policy, min_svn=4).min_svn == 4


@pytest.mark.parametrize(
    "text",
    [
        "signers = 1",
        "signers = []",
        "signer = []",
        "min_svn = -1",
        "min_svn = true",
        "allow_debug = 1",
        "x",
        'mrenclave = ["ab"]',
        "x = " + "[" * 5000,
    ],
)
def test_a_malformed_policy_is_refused_naming_the_file(tmp_path: Path, text: str) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(text)
    with pytest.raises(UsageError):
        expectations(policy=policy)


def test_contradictory_and_unreadable_expectations_are_refused(tmp_path: Path) -> None:
    for options in (
        {"signers": [SIGNER], "allow_any_signer": True},
        {"signers": ["no-such.pem"]},
        {"measurements": ["ab"]},
        {"policy": tmp_path / "missing.toml"},
        {"policy": tmp_path},
    ):
        with pytest.raises(UsageError):
            expectations(**options)


def test_a_passphrase_comes_from_one_place_and_never_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, file = "k.pem", tmp_path / "passphrase"
    file.write_bytes(b"open sesame\r\nsecond line")
    assert passphrase_reader(file, None, None, key)() == b"open sesame"
    monkeypatch.setenv("SECRET", "from the environment")
    assert passphrase_reader(None, "SECRET", None, key)() == b"from the environment"
    with pytest.raises(UsageError, match="no such variable"):
        passphrase_reader(None, "MISSING", None, key)()
    with pytest.raises(UsageError, match="one of"):
        passphrase_reader(file, "SECRET", None, key)
    with pytest.raises(UsageError, match="no key"):
        passphrase_reader(file, None, None, None)
    with pytest.raises(UsageError, match="given twice"):
        passphrase_reader(file, None, None, "pkcs11:object=k?pin-source=file:/run/pin")
    with pytest.raises(UsageError, match="no terminal"):
        passphrase_reader(None, None, None, "pkcs11:object=k")()


@given(st.text(max_size=40))
def test_no_text_makes_a_parser_fail_in_another_way(text: str) -> None:
    for parse in (
        parse_size, parse_exec, parse_date, parse_epoch, lambda value: parse_settings([value]),
        lambda value: parse_volumes([value]), lambda value: parse_allowed_variables([value]),
        lambda value: parse_annotations([value]), lambda value: parse_labels([value]),
    ):  # fmt: skip
        with suppress(EnclavizeError):
            parse(text)


def who(**options: object) -> object:
    defaults: dict[str, object] = {
        "key": None, "passphrase_file": None, "passphrase_env": None, "passphrase_fd": None, "service": None,
        "token_file": None, "ca": None, "certificate": None, "unsigned": False,
    }  # fmt: skip
    return parse_signer(**{**defaults, **options})  # type: ignore[arg-type] # one helper for all options


def test_one_signs_or_nobody() -> None:
    token = Path("token")
    assert who() is None
    assert who(unsigned=True) == NoSigner()
    assert who(key="pkcs11:object=k") == KeySigner(reference="pkcs11:object=k")
    assert who(service="https://host", token_file=token) == ServiceSigner(
        url="https://host", token_file=token
    )
    assert who(service="https://host", certificate=token) == ServiceSigner(
        url="https://host", certificate=token
    )


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"key": "k.pem", "service": "https://host"}, "--key and --signer contradict"),
        ({"key": "k.pem", "unsigned": True}, "--key and --unsigned contradict"),
        ({"service": "https://host", "unsigned": True}, "--signer and --unsigned contradict"),
        ({"key": ""}, "names no key"),
        ({"service": "https://host"}, "who asks"),
        ({"service": "k.pem"}, "is no signing service"),
        ({"service": "https://host", "ca": Path("ca.pem")}, "who asks"),
        ({"token_file": Path("token")}, "for a signing service"),
        ({"key": "k.pem", "ca": Path("ca.pem")}, "for a signing service"),
        ({"service": "https://host", "token_file": Path("t"), "passphrase_env": "X"}, "no key"),
        ({"unsigned": True, "passphrase_fd": 0}, "no key"),
    ],
)
def test_contradictory_signers_are_refused(options: dict[str, object], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        who(**options)
