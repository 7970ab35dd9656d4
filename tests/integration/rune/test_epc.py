"""The enclave page cache in ``events`` and ``update``, with the files of the misc controller.

No machine here counts it: the layout is that of Documentation/admin-guide/cgroup-v2.rst ("Misc") and sgx.rst.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from support.rune import RuneInstallation

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.integration

RUNC = """#!/bin/sh
echo "runc $*" >&2
for word; do
    case $word in
    *=/proc/self/fd/*) cat ${word#*=} >&2;;
    events)
        echo '{"type":"stats","id":"ID","data":{"cpu":{"usage":{"total":1}},"pids":{"current":3}}}'
        echo '{"type":"oom","id":"ID"}'
        echo '{"type":"stats","id":"ID"}'
        echo 'no event';;
    esac
done
exit 7
"""
LABELS = ["bundle=/x", "org.enclavize.tee=1"]
FILES = {
    "misc.current": "sev 3\nsgx_epc 4096\n",
    "misc.max": "sev max\nsgx_epc 1048576\n",
    "misc.events": "sev.max 0\nsgx_epc.max 2\n",
}


@pytest.fixture
def group(tmp_path: Path) -> Path:
    folder = tmp_path / "group"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def rune(installation: RuneInstallation, group: Path, tmp_path: Path) -> Run:
    """Run rune in front of a runc that says what it is told; ``state``: members of the container's state."""
    runc = tmp_path / "telling-runc"
    runc.write_text(RUNC)
    runc.chmod(0o755)

    def run(*arguments: str, **state: Any) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / "runc" / "ID"
        folder.mkdir(parents=True, exist_ok=True)
        described = {
            "config": {"labels": LABELS, "rootfs": "/absent"},
            "init_process_pid": 1,
            "cgroup_paths": {"": str(group)},
        } | state
        (folder / "state.json").write_text(json.dumps(described))
        options = ("--root", tmp_path / "runc", "--log", tmp_path / "log.json", "--log-format", "json")
        return installation.run(*options, *arguments, env={"ENCLAVIZE_RUNC": str(runc)})

    return run


PLAIN = [
    '{"type":"stats","id":"ID","data":{"cpu":{"usage":{"total":1}},"pids":{"current":3}}}',
    '{"type":"oom","id":"ID"}',
    '{"type":"stats","id":"ID"}',
    "no event",
]


def _added(done: subprocess.CompletedProcess[str]) -> object:
    """Return what was added to the statistics; all else is as runc wrote it, its exit code too."""
    assert done.returncode == 7
    first, *others = done.stdout.splitlines()
    assert others == PLAIN[1:]
    event = json.loads(first)
    added = event["data"].pop("sgx_epc", None)
    assert event == json.loads(PLAIN[0])
    return added


@pytest.mark.parametrize("options", [("--stats",), ("--interval", "1s"), ()])
@pytest.mark.parametrize("hierarchy", ["", "misc"])
def test_statistics_have_what_the_kernel_counts(
    rune: Run, group: Path, options: tuple[str, ...], hierarchy: str
) -> None:
    paths = {"cgroup_paths": {"memory": "/absent", hierarchy: str(group)}}
    done = rune("events", *options, "ID", **paths)
    assert _added(done) == {"usage": 4096, "max": 1048576, "failcnt": 2}
    assert f"events {' '.join((*options, 'ID'))}" in done.stderr


def test_what_is_not_limited_has_no_limit(rune: Run, group: Path) -> None:
    (group / "misc.max").write_text("sgx_epc max\n")
    (group / "misc.events").unlink()
    assert _added(rune("events", "ID")) == {"usage": 4096, "failcnt": 0}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("misc.current", ""), ("misc.current", "sgx_epc_other 1\n"), ("misc.current", "sgx_epc\n"),
        ("misc.current", "sgx_epc -1\n"), ("misc.current", f"sgx_epc {1 << 64}\n"), ("misc.max", "sev 1\n"),
        ("misc.max", "sgx_epc 1k\n"),
    ],
)  # fmt: skip
def test_where_it_is_not_counted_everything_is_runcs(rune: Run, group: Path, name: str, text: str) -> None:
    (group / name).write_text(text)
    assert rune("events", "ID").stdout.splitlines() == PLAIN
    done = rune("update", "--sgx-epc", "4096", "ID")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the kernel does not count the enclave page cache of this container" in done.stderr


@pytest.mark.parametrize(
    "state",
    [
        {"config": {"labels": ["bundle=/x"], "rootfs": "/absent"}},
        {"cgroup_paths": {}},
        {"cgroup_paths": {"": "relative"}},
        {"cgroup_paths": {"": 1}},
        {"cgroup_paths": None},
    ],
)
def test_events_of_others_are_runcs(rune: Run, state: dict[str, Any]) -> None:
    assert rune("events", "ID", **state).stdout.splitlines() == PLAIN


@pytest.mark.parametrize("limit", ["0", "1048576", "max"])
@pytest.mark.parametrize(
    "form", ["--sgx-epc {} ID", "--sgx-epc={} ID", "-sgx-epc {} -- ID", "ID --sgx-epc {}"]
)
def test_a_limit_is_given_to_runc(rune: Run, limit: str, form: str) -> None:
    done = rune("update", *form.format(limit).split())
    told, resources = done.stderr.split("\n", 1)
    assert (done.returncode, json.loads(resources)) == (7, {"unified": {"misc.max": f"sgx_epc {limit}"}})
    *_, command, option, dashes, name = told.split()
    assert (command, dashes, name) == ("update", "--", "ID")
    assert option.startswith("--resources=/proc/self/fd/")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--sgx-epc 1M ID", "a number of bytes, or max"),
        ("--sgx-epc= ID", "a number of bytes, or max"),
        ("--sgx-epc=-1 ID", "a number of bytes, or max"),
        ("--sgx-epc=99999999999999999999 ID", "a number of bytes, or max"),
        ("--sgx-epc=1 --memory 1 ID", "stands alone"),
        ("--sgx-epc=1 --sgx-epc=2 ID", "stands alone"),
        ("--sgx-epc=1 ID OTHER", "stands alone"),
        ("--sgx-epc=1", "stands alone"),
        ("--sgx-epc=1 OTHER", "no such container"),
    ],
)
def test_a_limit_that_is_none_changes_nothing(rune: Run, tmp_path: Path, words: str, reason: str) -> None:
    done = rune("update", *words.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr
    assert "runc" not in done.stderr.split(":")[0]
    (record,) = [json.loads(line) for line in (tmp_path / "log.json").read_text().splitlines()]
    assert reason in record["msg"]


@pytest.mark.parametrize(
    "words",
    [
        "update --memory 1 ID", "update --resources - ID", "update -r x ID", "update --new-option 1 ID",
        "update", "update --memory", "events --new-option --stats ID", "events", "events --interval",
    ],
)  # fmt: skip
def test_all_else_is_passed_as_it_is(rune: Run, words: str) -> None:
    done = rune(*words.split())
    assert done.returncode == 7
    assert done.stderr.splitlines()[0].endswith(f"json {words}")
