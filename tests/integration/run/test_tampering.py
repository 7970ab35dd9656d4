"""The host may refuse service, but never change what the program sees."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import threading
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile

from enclavize.sgx.enclave_file.signed import read_signed
from support.programs import busybox, need, need_root
from support.scale import scaled
from support.tee import Converter, TeeTree, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

LISTING = ("ls", "-lR", "/bin", "/etc", "/data")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> TeeTree:
    need("umoci", "skopeo")
    need_root()
    base = tmp_path_factory.mktemp("tampering")
    rootfs = base / "rootfs"
    for folder in ("bin", "etc", "data/many"):
        (rootfs / folder).mkdir(parents=True)
    shutil.copy(busybox(), rootfs / "bin" / "busybox")
    (rootfs / "data" / "small").write_text("a small file\n" * 10)
    (rootfs / "data" / "large").write_bytes(random.Random(1).randbytes(3_000_000))
    for number in range(200):
        (rootfs / "data" / "many" / f"file-{number:03}").write_text(f"{number}\n" * 100)
    source = ordinary_image(base / "layout", rootfs, config=("--config.entrypoint", "/bin/busybox"))
    return Converter.create(base).tree(source, "tee", "--allow-args")


@pytest.fixture
def tree(pristine: TeeTree, tmp_path: Path) -> TeeTree:
    copy = tmp_path / "tree"
    shutil.copytree(pristine.root, copy, symlinks=True)
    for path in copy.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o200)
    return TeeTree(root=copy)


def flip(path: Path, position: int, bit: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ (1 << bit)]))


def loaded_ranges(path: Path) -> Iterator[range]:
    with path.open("rb") as file:
        for segment in ELFFile(file).iter_segments("PT_LOAD"):
            start = segment["p_offset"]
            yield range(start, start + segment["p_filesz"])


def patched_ranges(path: Path) -> list[range]:
    """What the loader replaces by bytes of the metadata before it measures."""
    patches = read_signed(path).blocks[0].patches
    return [range(patch.destination, patch.destination + patch.size) for patch in patches]


def sigstruct_offset(path: Path) -> int:
    with path.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".note.sgxmeta")
        assert section is not None
        return int(section["sh_offset"]) + 25 + 64


def test_the_untouched_tree_runs(tree: TeeTree) -> None:
    done = tree.run("sha256sum", "/data/large")
    expected = hashlib.sha256((tree.root / "data" / "large").read_bytes()).hexdigest()
    assert done.stdout.decode() == f"{expected}  /data/large\n", done.stderr


def test_any_flipped_bit_of_the_enclave_is_refused(tree: TeeTree) -> None:
    enclave = tree.instance / "enclave.signed.so"
    generator = random.Random(2)
    ranges, patched = list(loaded_ranges(enclave)), set().union(*patched_ranges(enclave))
    for _ in range(scaled(400, least=20)):
        # The file header lies in the first segment: there the refusal may be about the ELF structure.
        chosen = generator.choice(ranges)
        position, bit = generator.choice(chosen), generator.randrange(8)
        while position in patched:
            position = generator.choice(chosen)
        flip(enclave, position, bit)
        done = tree.run("true")
        flip(enclave, position, bit)
        assert done.returncode not in (0, -11), (position, bit)
        assert b"enclave.signed.so" in done.stderr or b"MRENCLAVE" in done.stderr, done.stderr


def test_any_flipped_bit_of_sigstruct_is_refused(tree: TeeTree) -> None:
    enclave = tree.instance / "enclave.signed.so"
    start = sigstruct_offset(enclave)
    positions = range(0, 1808, 1 if scaled(100) >= 100 else 37)
    for position in positions:
        flip(enclave, start + position, position % 8)
        done = tree.run("true")
        flip(enclave, start + position, position % 8)
        assert done.returncode not in (0, -11), position
        assert b"SIGSTRUCT" in done.stderr or b"MRENCLAVE" in done.stderr, (position, done.stderr)


@pytest.mark.parametrize("name", ["rootfs.erofs", "rootfs.verity"])
def test_a_flipped_bit_of_the_metadata_is_an_error_or_is_never_read(tree: TeeTree, name: str) -> None:
    image = tree.instance / name
    baseline = tree.run(*LISTING)
    assert baseline.returncode == 0, baseline.stderr
    size = image.stat().st_size
    generator = random.Random(3)
    noticed = 0
    for _ in range(scaled(400, least=20)):
        position, bit = generator.randrange(size), generator.randrange(8)
        flip(image, position, bit)
        done = tree.run(*LISTING)
        flip(image, position, bit)
        if done.returncode != 0 or done.stderr != baseline.stderr:
            noticed += 1
            assert name.encode() in done.stderr or b"rootfs" in done.stderr, done.stderr
        else:
            assert done.stdout == baseline.stdout
    assert noticed or name == "rootfs.verity"


def test_every_flipped_bit_of_the_metadata_root_block_is_refused(tree: TeeTree) -> None:
    image = tree.instance / "rootfs.erofs"
    for position in range(1024, 1152, 16):
        flip(image, position)
        done = tree.run("true")
        flip(image, position)
        assert done.returncode != 0
        assert b"rootfs.erofs" in done.stderr


@pytest.mark.parametrize(
    "change", ["flipped", "missing", "replaced", "truncated", "longer", "a folder", "a FIFO"]
)
@pytest.mark.parametrize("name", ["small", "large"])
def test_changed_file_data_is_an_io_error_that_names_the_path(tree: TeeTree, name: str, change: str) -> None:
    path = tree.root / "data" / name
    match change:
        case "flipped":
            flip(path, path.stat().st_size // 2)
        case "missing":
            path.unlink()
        case "replaced":
            path.write_bytes(bytes(path.stat().st_size))
        case "truncated":
            os.truncate(path, path.stat().st_size - 1)
        case "longer":
            with path.open("ab") as file:
                file.write(b"x")
        case "a folder":
            path.unlink()
            path.mkdir()
        case _:
            path.unlink()
            os.mkfifo(path)
    done = tree.run("cat", f"/data/{name}")
    original = b"" if change == "longer" else None
    assert done.returncode != 0 or original is not None
    if done.returncode != 0:
        assert b"I/O error" in done.stderr or b"Input/output error" in done.stderr
        lines = [
            line for line in done.stderr.splitlines() if line.startswith(f"enclave: /data/{name}:".encode())
        ]
        assert len(lines) == 1, done.stderr


def test_data_swapped_while_it_is_read_never_reaches_the_program(tree: TeeTree) -> None:
    path = tree.root / "data" / "large"
    good = path.read_bytes()
    expected = hashlib.sha256(good).hexdigest().encode()
    stop = threading.Event()

    def swap() -> None:
        evil = bytes(4096)
        with path.open("r+b", buffering=0) as file:
            generator = random.Random(4)
            while not stop.is_set():
                position = generator.randrange(len(good) // 4096) * 4096
                file.seek(position)
                file.write(evil)
                file.seek(position)
                file.write(good[position : position + 4096])

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        outcomes = [tree.run("sha256sum", "/data/large") for _ in range(scaled(200, least=5))]
    finally:
        stop.set()
        thread.join()
    for done in outcomes:
        if done.returncode == 0:
            assert done.stdout.split()[0] == expected
        else:
            assert b"/data/large" in done.stderr


def test_what_the_host_adds_or_changes_in_the_tree_is_invisible(tree: TeeTree) -> None:
    baseline = tree.run(*LISTING)
    (tree.root / "data" / "added").write_text("from the host")
    (tree.root / "etc" / "ld-musl-x86_64.path").write_text("/data")
    (tree.root / "data" / "many").chmod(0o700)
    (tree.root / "data" / "small").chmod(0o777)
    os.chown(tree.root / "data" / "small", 12, 34)
    os.utime(tree.root / "data" / "small", (1, 1))
    assert tree.run(*LISTING).stdout == baseline.stdout
    assert tree.run("cat", "/data/added").returncode != 0


def test_a_link_of_the_host_has_no_effect(tree: TeeTree) -> None:
    shutil.move(tree.root / "data" / "small", tree.root / "data" / "elsewhere")
    (tree.root / "data" / "small").symlink_to("/etc/passwd")
    done = tree.run("cat", "/data/small")
    assert b"root:" not in done.stdout
    assert b"/data/small" in done.stderr


def test_the_tree_of_the_host_is_never_listed(tree: TeeTree, tmp_path: Path) -> None:
    need("strace")
    log = tmp_path / "strace"
    done = tree.run(
        *LISTING, wrapper=("strace", "-f", "-qq", "-o", str(log), "-e", "trace=getdents,getdents64")
    )
    assert done.returncode == 0, done.stderr
    assert "getdents" not in log.read_text()
