"""Verdicts: their form, and whose verdicts count."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from enclavize.rune import verdict_store
from enclavize.rune.enclave import Enclave
from enclavize.rune.enclave_folder import FoundFile
from enclavize.rune.verdict import CoveredFile, Verdict, parse_verdict
from enclavize.rune.verdict_store import VerdictStore, default_store
from support.scale import scaled

KEY = "0" * 64
VERDICT = Verdict(
    enclavize="0.2.0",
    policy={"/etc/rune/config.toml": "-", "/etc/rune/a b": "ab" * 32},
    enclave=Enclave(
        libos="gramine", mrenclave=bytes(32), mrsigner=b"s" * 32, isv_prod_id=7, isv_svn=3, debug=True
    ),
    links={"instance/app.manifest": "app.manifest.sgx"},
    files={
        "bin/runelet": CoveredFile(found=FoundFile(mode=0o555, size=7), sha256="cd" * 32),
        "enclave.json": CoveredFile(found=FoundFile(mode=0o444, size=1), sha256=KEY),
    },
)
TEXT = f"""\
rune-verdict 1
enclavize 0.2.0
policy -  /etc/rune/config.toml
policy {"ab" * 32}  /etc/rune/a b
libos gramine
mrenclave {"00" * 32}
mrsigner {"73" * 32}
isvprodid 7
isvsvn 3
debug 1
link app.manifest.sgx  instance/app.manifest
file 555 7 {"cd" * 32}  bin/runelet
file 444 1 {KEY}  enclave.json
end
"""


@pytest.fixture
def store(tmp_path: Path) -> VerdictStore:
    store = VerdictStore(tmp_path)
    store.save(KEY, VERDICT)
    return store


@pytest.fixture
def folder(tmp_path: Path, store: VerdictStore) -> Path:
    return tmp_path / "rune" / "verdicts"


def test_the_form_is_that_of_the_documentation() -> None:
    assert VERDICT.to_text() == TEXT
    assert parse_verdict(TEXT) == VERDICT


@pytest.mark.parametrize(
    "text",
    [
        "", TEXT[:-1], TEXT + "\n", TEXT + TEXT, "\0" + TEXT, TEXT.replace("\n", "\r\n"),
        TEXT.replace("end\n", ""), TEXT.replace("verdict 1", "verdict 2"), TEXT.replace("  ", " "),
        TEXT.replace("debug 1", "debug 2"), TEXT.replace("isvsvn 3", "isvsvn 03"),
        TEXT.replace("file 555", "file 0555"), TEXT.replace("file 555", "file 8"),
        TEXT.replace("libos gramine\n", ""), TEXT.replace("ab" * 32, "AB" * 32),
        TEXT.replace("a b", "\x85x\n"), TEXT.replace("bin/runelet", "enclave.json"),
    ],
)  # fmt: skip
def test_what_is_not_exactly_of_this_form_is_no_verdict(text: str) -> None:
    assert parse_verdict(text) is None


def test_no_change_of_a_verdict_goes_unseen() -> None:
    """It is another verdict, or none."""
    random = Random(7)
    for _ in range(scaled(5000)):
        at = random.randrange(len(TEXT))
        changed = (
            TEXT[:at] + random.choice(["", "x", "0", " ", "\n", "\t"]) + TEXT[at + random.randrange(3) :]
        )
        found = parse_verdict(changed)
        assert found is None or (found != VERDICT) == (changed != TEXT)
        assert found is None or found.to_text() == changed


def test_what_was_saved_is_found(store: VerdictStore, folder: Path) -> None:
    assert store.load(KEY) == VERDICT
    assert store.load("1" * 64) is None
    assert (folder.stat().st_mode & 0o777, (folder / KEY).stat().st_mode & 0o777) == (0o700, 0o600)
    assert [path.name for path in folder.iterdir()] == [KEY]


def test_a_later_verdict_takes_the_place_of_an_earlier_one(store: VerdictStore, folder: Path) -> None:
    other = replace(VERDICT, enclavize="0.3.0")
    store.save(KEY, other)
    assert store.load(KEY) == other
    assert len(list(folder.iterdir())) == 1


def test_a_verdict_that_others_could_have_written_does_not_count(store: VerdictStore, folder: Path) -> None:
    path = folder / KEY
    for mode in (0o644, 0o660, 0o602):
        path.chmod(mode)
        assert store.load(KEY) is None
    path.chmod(0o600)
    assert store.load(KEY) == VERDICT
    os.link(path, folder / "other")
    assert store.load(KEY) is None
    path.unlink()
    path.symlink_to("other")
    assert store.load(KEY) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("owned", ["rune/verdicts/" + KEY, "rune/verdicts", "rune"])
def test_nobody_elses_verdict_counts(store: VerdictStore, tmp_path: Path, owned: str) -> None:
    os.chown(tmp_path / owned, 65534, 65534)
    assert store.load(KEY) is None


@pytest.mark.parametrize(
    ("name", "mode"), [("rune/verdicts", 0o750), ("rune/verdicts", 0o701), ("rune", 0o777)]
)
def test_nothing_is_kept_where_others_can_write(
    store: VerdictStore, folder: Path, tmp_path: Path, name: str, mode: int
) -> None:
    (tmp_path / name).chmod(mode)
    assert store.load(KEY) is None
    store.save("1" * 64, VERDICT)
    assert [path.name for path in folder.iterdir()] == [KEY]


@pytest.mark.parametrize("name", ["rune/verdicts", "rune"])
def test_no_link_is_followed(store: VerdictStore, tmp_path: Path, name: str) -> None:
    (tmp_path / name).rename(tmp_path / "elsewhere")
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    assert store.load(KEY) is None
    store.save("1" * 64, VERDICT)
    assert not list((tmp_path / "elsewhere").rglob("1*"))


@pytest.mark.parametrize("content", [b"", b"\xff", b"rune-verdict 1\n", b"x" * (2 << 20)], ids=len)
def test_a_broken_file_is_no_verdict(store: VerdictStore, folder: Path, content: bytes) -> None:
    (folder / KEY).write_bytes(content)
    assert store.load(KEY) is None


def test_nowhere_to_keep_them_is_no_error(tmp_path: Path) -> None:
    for base in (None, tmp_path / "absent"):
        VerdictStore(base).save(KEY, VERDICT)
        assert VerdictStore(base).load(KEY) is None
    (tmp_path / "rune").touch()
    VerdictStore(tmp_path).save(KEY, VERDICT)
    assert VerdictStore(tmp_path).load(KEY) is None


def test_one_at_a_time(store: VerdictStore, folder: Path, tmp_path: Path) -> None:
    order: list[str] = []

    def wait() -> None:
        with VerdictStore(tmp_path).alone(KEY):
            order.append("second")

    with store.alone(KEY):
        thread = threading.Thread(target=wait)
        thread.start()
        with store.alone("1" * 64):  # another image does not wait
            order.append("first")
        thread.join(0.2)
        assert order == ["first"]
    thread.join()
    assert order == ["first", "second"]
    assert [path.name for path in folder.iterdir()] == [KEY]
    with VerdictStore(None).alone(KEY), VerdictStore(None).alone(KEY):
        pass


def test_old_ones_are_dropped(store: VerdictStore, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict_store, "_MAX_VERDICTS", 20)
    (folder / ".new-left").touch()
    os.utime(folder / ".new-left", (1, 1))
    for number in range(30):
        store.save(f"{number:064}", VERDICT)
        os.utime(folder / f"{number:064}", (1000 + number, 1000 + number))
        assert len(list(folder.iterdir())) <= 20
    assert not (folder / ".new-left").exists()
    assert store.load(f"{29:064}") == VERDICT
    assert store.load(f"{0:064}") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_keeps_its_own_below_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_store() == VerdictStore(Path("/run"))


def test_users_keep_theirs_in_their_runtime_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(verdict_store, "_in_user_namespace", lambda: True)
    monkeypatch.delenv("USER", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_store() == VerdictStore(tmp_path)
    tmp_path.chmod(0o777)
    assert default_store() == VerdictStore(None)
    for value in ("relative", str(tmp_path / "absent"), ""):
        monkeypatch.setenv("XDG_RUNTIME_DIR", value)
        assert default_store() == VerdictStore(None)
