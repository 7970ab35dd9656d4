"""enclavize-sgx-sign in place of sgx_sign."""

from __future__ import annotations

import datetime as dt
import hashlib
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.sgx.enclave_file import read_signed
from enclavize.signing.image_payload import build_payload
from enclavize.signing.sgx_sign_cli import FAILURE, main
from support.vectors import INTEL, KEY, OCCLUM, PUBLIC_KEY, cases, negative, signer

if TYPE_CHECKING:
    from pathlib import Path

ENCLAVE = INTEL / "enclaves/enclave_a.so"
ONE_STEP = [
    pytest.param(folder, case, id=f"{folder.name}-{case['name']}")
    for folder in (INTEL, OCCLUM)
    for case in cases(folder)
    if not case.get("two_step_only")
]
TWO_STEP = [
    pytest.param(folder, case, id=f"{folder.name}-{case['name']}")
    for folder in (INTEL, OCCLUM)
    for case in cases(folder)
    if case.get("two_step_only")
]


def run(*words: object) -> int:
    return main([str(word) for word in words])


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("folder", "case"), ONE_STEP)
def test_one_step_signing_writes_the_originals_files(
    folder: Path, case: dict[str, Any], tmp_path: Path
) -> None:
    output, css = tmp_path / "signed.so", tmp_path / "css.bin"
    files = ("-enclave", folder / case["enclave"], "-config", folder / case["config"], "-key", KEY)
    assert run("sign", *files, "-out", output, "-cssfile", css, "-date", "2026-11-23") == 0
    assert sha256(output) == case["signed_so_sha256"]
    assert sha256(css) == case["sigstruct_sha256"]


@pytest.mark.parametrize(("folder", "case"), TWO_STEP)
def test_two_step_signing_takes_the_date_from_the_material(
    folder: Path, case: dict[str, Any], tmp_path: Path
) -> None:
    output = tmp_path / "signed.so"
    files = ("-enclave", folder / case["enclave"], "-config", folder / case["config"], "-key", PUBLIC_KEY)
    material = ("-unsigned", folder / case["gendata"], "-sig", folder / case["signature_big_endian"])
    assert run("catsig", *files, *material, "-out", output) == 0
    assert sha256(output) == case["signed_so_sha256"]


def test_catsig_takes_no_signature_of_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is made with the same key and algorithm, but never of a SIGSTRUCT."""
    image = "registry.example/app", f"sha256:{'0' * 64}"
    (tmp_path / "material").write_bytes(build_payload(*image))
    (tmp_path / "signature").write_bytes(signer().sign_image(*image))
    files = ("-enclave", ENCLAVE, "-key", PUBLIC_KEY, "-sig", tmp_path / "signature")
    more = ("-unsigned", tmp_path / "material", "-out", tmp_path / "out.so")
    assert run("catsig", *files, *more) == FAILURE
    assert "signing material has 256 bytes" in capsys.readouterr().err
    assert not (tmp_path / "out.so").exists()


def test_gendata_openssl_catsig_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795392000")
    material, signature = tmp_path / "m.bin", tmp_path / "m.sig"
    one, two, dump = tmp_path / "one.so", tmp_path / "two.so", tmp_path / "dump.txt"
    assert run("gendata", "-enclave", ENCLAVE, "-out", material) == 0
    subprocess.run(["openssl", "dgst", "-sha256", "-sign", KEY, "-out", signature, material], check=True)
    files = ("-enclave", ENCLAVE, "-key", PUBLIC_KEY, "-unsigned", material, "-sig", signature)
    assert run("catsig", *files, "-out", two) == 0
    assert run("sign", "-enclave", ENCLAVE, "-key", KEY, "-out", one, "-dumpfile", dump) == 0
    assert one.read_bytes() == two.read_bytes()
    assert read_signed(one).sigstruct.date == 0x20261123
    assert "metadata->enclave_css.body.enclave_hash.m:\n0x21 0xfa 0xc5 " in dump.read_text()
    again = tmp_path / "again.txt"
    assert run("dump", "-enclave", one, "-dumpfile", again) == 0
    assert again.read_text() == dump.read_text()


def test_without_a_date_it_is_today(tmp_path: Path) -> None:
    before = dt.datetime.now(dt.UTC).date()
    assert run("gendata", "-enclave", ENCLAVE, "-out", tmp_path / "m.bin") == 0
    days = {before, dt.datetime.now(dt.UTC).date()}
    date = int.from_bytes((tmp_path / "m.bin").read_bytes()[20:24], "little")
    assert f"{date:08x}" in {f"{day:%Y%m%d}" for day in days}


def test_digest_prints_mrenclave(capsys: pytest.CaptureFixture[str]) -> None:
    case = cases(INTEL)[0]
    assert run("digest", "-enclave", ENCLAVE) == 0
    assert run("digest", "-enclave", INTEL / case["signed_so"]) == 0
    assert run("digest", "-enclave", ENCLAVE, "-config", INTEL / case["config"]) == 0
    assert capsys.readouterr().out.split() == [case["mrenclave"]] * 3


def prepare(case: dict[str, Any], folder: Path) -> None:
    """The files that the negative cases name."""
    gendata = INTEL / "cases/default/gendata.bin"
    material = bytearray(gendata.read_bytes())
    made = {
        "key.pem": KEY.read_bytes(),
        "pub.pem": PUBLIC_KEY.read_bytes(),
        "enclave_a.so": ENCLAVE.read_bytes(),
        "enclave_b.so": (INTEL / "enclaves/enclave_b.so").read_bytes(),
        "signed.so": (INTEL / "cases/default/signed.so").read_bytes(),
        "release.xml": (INTEL / "cases/release/config.xml").read_bytes(),
        "gendata.bin": bytes(material),
    }
    for file in (INTEL / "negative").iterdir():
        made[file.name] = file.read_bytes()
    signature = (INTEL / "cases/default/sigstruct.bin").read_bytes()[516:900][::-1]
    flipped = bytearray(signature)
    flipped[100] ^= 1
    other = folder / "other.sig"
    key = str(INTEL / "negative/TEST-ONLY-other.pem")
    subprocess.run(["openssl", "dgst", "-sha256", "-sign", key, "-out", other, gendata], check=True)
    made |= {
        "good.sig": signature,
        "short.sig": signature[:-1],
        "reversed.sig": signature[::-1],
        "flipped.sig": bytes(flipped),
        "short.bin": bytes(material[:-1]),
        "hash_changed.bin": bytes(material[:188]) + bytes([material[188] ^ 1]) + bytes(material[189:]),
        "date_changed.bin": bytes(material[:20]) + b"\x22" + bytes(material[21:]),
    }
    if "derivation" in case:
        image = bytearray((INTEL / case["derived_from"]).read_bytes())
        for offset, data in case["derivation"].get("patch", []):
            image[offset : offset + len(data) // 2] = bytes.fromhex(data)
        made[f"{case['name'].removeprefix('enclave_')}.so"] = bytes(
            image[: case["derivation"].get("truncate")]
        )
    for name, data in made.items():
        (folder / name).write_bytes(data)


@pytest.mark.parametrize("case", negative(INTEL)["cases"], ids=lambda case: str(case["name"]))
def test_commands_succeed_and_fail_as_the_originals(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(case, tmp_path)
    monkeypatch.chdir(tmp_path)
    words = case["command"].split()[1:]
    # We have a command "digest", and do not sign a note that is too short.
    exit_code = {"cmd_digest": 0, "enclave_short_metadata": FAILURE}.get(case["name"], case["exit_code"])
    assert run(*words) == exit_code
    messages = capsys.readouterr().err.splitlines()
    assert (messages[-1] == "Succeed.") is (exit_code == 0)
    assert messages[0], "a failure has a reason"
    assert (tmp_path / "x.so").exists() is (exit_code == 0 and case["name"] != "cmd_digest")


def test_a_failure_deletes_nothing(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("out.so", "dump.txt", "css.bin")}
    for path in files.values():
        path.write_text("precious")
    written = ("-out", files["out.so"], "-dumpfile", files["dump.txt"], "-cssfile", files["css.bin"])
    key = INTEL / "negative/TEST-ONLY-kec.pem"
    assert run("sign", "-enclave", ENCLAVE, "-key", key, *written) == FAILURE
    assert {path.read_text() for path in files.values()} == {"precious"}


@pytest.mark.parametrize("spelling", ["{folder}/a.so", "{folder}/./a.so", "{folder}/link.so"])
def test_the_input_is_never_the_output(tmp_path: Path, spelling: str) -> None:
    enclave = tmp_path / "a.so"
    enclave.write_bytes(ENCLAVE.read_bytes())
    (tmp_path / "link.so").symlink_to("a.so")
    output = spelling.format(folder=tmp_path)
    assert run("sign", "-enclave", enclave, "-key", KEY, "-out", output) == FAILURE
    assert enclave.read_bytes() == ENCLAVE.read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        ["sign", "-enclave"],
        ["sign", "-enclave", "-key"],
        ["sign", "-enclave", "a", "-enclave", "b"],
        ["sign", "-resign", "-resign"],
        ["gendata", "-enclave", "a", "-out", "b", "-key", "c"],
        ["dump", "-enclave", "a", "-dumpfile", "b", "-resign"],
        ["gendata", "-enclave", "a", "-out", "b", "-date", "2024-13-01"],
        ["gendata", "-enclave", "/nonexistent", "-out", "b"],
        ["dump", "-enclave", str(ENCLAVE), "-dumpfile", "b"],
    ],
)
def test_wrong_command_lines_exit_with_255(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words) == FAILURE
    assert not list(tmp_path.iterdir())


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-help") == 0
    assert run("-version") == 0
    assert "catsig" in capsys.readouterr().out
