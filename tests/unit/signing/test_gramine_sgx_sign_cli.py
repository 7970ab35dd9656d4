"""enclavize-gramine-sgx-sign in place of gramine-sgx-sign."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.gramine_sgx_sign_cli import main
from support.vectors import GRAMINE, KEY, cases, negative

if TYPE_CHECKING:
    from pathlib import Path

LIBPAL = GRAMINE / "libpal/standin_a.so"
SMALL = GRAMINE / "cases/small_256M"
SIGNED = [
    pytest.param(case, id=case["name"])
    for case in cases(GRAMINE)
    if case["name"] not in {"not_power_of_two", "chroot_expand"}
]


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.mark.parametrize("case", SIGNED)
def test_manifest_and_signature_equal_the_originals(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = GRAMINE / case["manifest"]
    monkeypatch.chdir(manifest.parent)
    output, sig = tmp_path / "app.manifest.sgx", tmp_path / "app.sig"
    files = ("-m", manifest, "-o", output, "-s", sig, "-k", KEY, "-l", GRAMINE / case["libpal"])
    assert run(*files, "-d", case["date"], "-q") == 0
    assert output.read_bytes() == (GRAMINE / case["manifest_sgx"]).read_bytes()
    assert sig.read_bytes() == (GRAMINE / case["sig"]).read_bytes()


@pytest.mark.parametrize("case", negative(GRAMINE)["cases"], ids=lambda case: str(case["name"]))
def test_bad_input_is_refused_and_leaves_nothing(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    manifest, libpal, key, date = SMALL / "manifest.toml", LIBPAL, KEY, "0000-00-00"
    if case["manifest"] is not None:
        manifest = tmp_path / "app.manifest"
        manifest.write_text(case["manifest"])
    match case["name"].partition("_")[::2]:
        case "key", name:
            key = GRAMINE / f"negative/TEST-ONLY-{name}.pem"
        case "date", name:
            date = {"bad": "2024-13-01", "text": "yesterday"}[name]
        case "libpal", _:
            libpal = tmp_path / "libpal.so"
            libpal.write_text("no ELF file")
        case _:
            pass
    files = ("-m", manifest, "-o", "n.sgx", "-s", "n.sig", "-k", key, "-l", libpal)
    assert run(*files, "-d", date) in {1, 2}
    assert "Error: " in capsys.readouterr().err
    assert not list(work.iterdir())


def test_defaults_and_dependencies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = tmp_path / "app.manifest"
    manifest.write_bytes((SMALL / "manifest.toml").read_bytes())
    output, depfile = tmp_path / "app.manifest.sgx", tmp_path / "app.d"
    files = ("-m", manifest, "-o", output, "-k", KEY, "-l", LIBPAL, "--depfile", depfile)
    assert run(*files, "--date", "2026-11-23") == 0
    assert Sigstruct.parse((tmp_path / "app.sig").read_bytes()).date == 0x20261123
    assert cases(GRAMINE)[0]["mrenclave"] in capsys.readouterr().out
    assert depfile.read_text().startswith(f"{output}: \\\n\t/app/bin/server")
    assert depfile.read_text().endswith(f"{LIBPAL} \\\n\t{KEY}\n")


def test_the_date_is_source_date_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    files = (
        "-m",
        SMALL / "manifest.toml",
        "-o",
        tmp_path / "o",
        "-s",
        tmp_path / "s",
        "-k",
        KEY,
        "-l",
        LIBPAL,
    )
    assert run(*files, "-q") == 0
    assert Sigstruct.parse((tmp_path / "s").read_bytes()).date == 0x19700102


@pytest.mark.parametrize("words", [[], ["-m", "x"], ["-m", "-", "-o", "o"], ["--frobnicate"]])
def test_wrong_options_exit_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:  # from argparse
        sys.exit(run(*words))
    assert caught.value.code == 2
