"""The LibOS's file system as ordinary programs, under the address and undefined behaviour sanitizers."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.rootfs.entry import STAT_TYPE, FileType
from enclavize.rootfs.erofs import write_erofs
from enclavize.rootfs.names import path_bytes
from support.sample_tree import SampleTree, sample, write_sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parents[2] / "native"
FILE_SYSTEM = NATIVE / "libos" / "fs"
NET = NATIVE / "libos" / "net"
SCALE = float(os.environ.get("ENCLAVIZE_TEST_SCALE", "0.05"))
FLAGS = ("-std=gnu17", "-O1", "-g", "-Wall", "-Wextra", "-fno-builtin", "-Wno-builtin-declaration-mismatch")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
THREAD_SANITIZER = ("-fsanitize=thread",)
BELOW = (
    *("base/format.c", "base/pieces.c", "base/spinlock.c", "base/upcalls.c", "boundary/quiet.c"),
    *("memory/object.c", "memory/page_index.c"),
    *("process/capabilities.c", "process/credentials.c", "process/limits.c", "process/machine.c"),
    "process/subject.c",
    *("wait/spin.c", "wait/wait.c"),
)
"""What of the rooms below needs no enclave."""
HOST_SERVED = 64
"""Larger files than this have their data on the host (docs/rootfs.md)."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The sample tree as the enclave gets it."""

    folder: Path
    digest: str

    def arguments(self) -> list[str]:
        """Return what the test programs want to know first."""
        return [str(self.folder / name) for name in ("rootfs.erofs", "rootfs.verity", "root")] + [self.digest]


def build(folder: Path, sanitizers: tuple[str, ...], *names: str) -> dict[str, Path]:
    """Compile the file system, the sockets and the test programs named."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc, whose sanitizers are used here, is not installed")
    command = [
        compiler, *FLAGS, *sanitizers, f"-I{NATIVE / 'include'}", f"-I{NATIVE / 'libos'}",
    ]  # fmt: skip
    core = [NATIVE / "libos" / name for name in BELOW]
    stand_ins = sorted(HERE.glob("shim*.c"))
    sources = [*stand_ins, *sorted(FILE_SYSTEM.glob("*.c")), *sorted(NET.glob("*.c")), *core]
    objects = [folder / f"{source.stem}.o" for source in sources]

    def compile_one(source: Path, target: Path) -> None:
        subprocess.run([*command, "-c", str(source), "-o", str(target)], check=True, timeout=120)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(compile_one, sources, objects))
    for name in names:
        subprocess.run(
            [
                *command, *map(str, sorted(HERE.glob(f"{name}_*.c"))), *map(str, parts_of(name, objects)),
                "-l:libcrypto.so.3", "-lpthread", "-o", str(folder / name),
            ],
            check=True, timeout=120,
        )  # fmt: skip
    return {name: folder / name for name in names}


def parts_of(name: str, objects: Iterable[Path]) -> Iterator[Path]:
    """Return what a test program is linked with: the parser alone, another network, or all there is."""
    match name:
        case "fuzz":
            yield from (one for one in objects if one.name == "erofs.o")
        case "network":
            yield HERE / "lying_network.c"
            yield from (one for one in objects if one.name != "shim_network.o")
        case _:
            yield from objects


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build(tmp_path_factory.mktemp("fs"), SANITIZERS, "tree", "calls", "fuzz", "network")


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    folder = tmp_path_factory.mktemp("sample")
    return Sample(folder=folder, digest=write_sample(folder).digest.hex())


def run(*arguments: object) -> str:
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(
        [os.fsencode(str(argument)) for argument in arguments],
        capture_output=True, text=True, check=False, timeout=300, env=environment, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def escaped(name: bytes) -> str:
    return "".join(chr(byte) if 0x20 < byte < 0x7F and byte != ord("%") else f"%{byte:02x}" for byte in name)


def expected_lines() -> set[str]:
    """The tree as ext4 would show it after unpacking."""
    tree = sample()
    rootfs = tree.rootfs()
    links = {path: len(paths) for paths in rootfs.hard_links().values() for path in paths}
    lines = set()
    for entry in rootfs.entries:
        if entry.path.startswith("dev/"):
            continue  # the LibOS's own
        mode = STAT_TYPE[entry.type] | entry.mode
        size, content = entry.size, ""
        blocks = -(-entry.size // 4096) * 8
        count = links.get(entry.path, 1)
        match entry.type:
            case FileType.DIRECTORY:
                folders = sum(child.type is FileType.DIRECTORY for child in rootfs.children(entry.path))
                size, blocks, count = 4096, 8, 2 + folders
            case FileType.SYMLINK:
                content = escaped(path_bytes(entry.link_target))
                blocks = 0 if entry.size < 60 else 8
            case FileType.CHARACTER_DEVICE | FileType.BLOCK_DEVICE | FileType.FIFO:
                raise AssertionError(entry.path)
            case FileType.REGULAR:
                content = hashlib.sha256(tree.content[entry.path]).hexdigest()
                content += "".join(
                    f" {name}={hashlib.sha256(value).hexdigest()[:16]}" for name, value in sorted(
                        entry.xattrs.items(),
                        key=lambda item: [*map(item[0].startswith, ("security.", "user.")), item[0]]
                    ) if not name.startswith("trusted.")
                )  # fmt: skip
        fields = [
            "/" + escaped(path_bytes(entry.path)), f"{mode:o}", count, entry.uid, entry.gid, size, blocks,
            entry.mtime, 0, content,
        ]  # fmt: skip
        lines.add(" ".join(map(str, fields)))
    return lines


def test_the_tree_looks_as_if_it_were_unpacked(programs: dict[str, Path], image: Sample) -> None:
    lines = run(programs["tree"], *image.arguments(), "list").splitlines()
    assert len(lines) == len(set(lines))
    assert set(lines) == expected_lines()


def test_inodes_of_a_large_tree_come_and_go(programs: dict[str, Path], tmp_path: Path) -> None:
    tree = SampleTree()
    for folder in range(100):
        tree.directory(f"{folder}")
        for file in range(180):
            tree.regular(f"{folder}/{file}", b"%d" % (file % 7))
    image, verity = tmp_path / "rootfs.erofs", tmp_path / "rootfs.verity"
    digest = write_erofs(tree.rootfs(), image, verity, inline=frozenset()).digest.hex()
    lines = run(programs["tree"], image, verity, tmp_path, digest, "list").splitlines()
    assert len(lines) == len(set(lines)) == len(tree.entries) + 1
    assert not any("E5" in line for line in lines)


def volume_root(folder: Path) -> Path:
    """A host folder with what calls_content.c expects in the volume."""
    volume = folder / "mnt" / "volume"
    volume.mkdir(parents=True)
    (volume / "given").write_text("from the host")
    return folder


def test_calls_do_what_linux_promises(programs: dict[str, Path], image: Sample, tmp_path: Path) -> None:
    run(programs["calls"], *image.arguments(), volume_root(tmp_path))
    assert stat.S_IMODE((tmp_path / "mnt" / "volume" / "directory").stat().st_mode) == 0o755


def test_calls_of_many_threads_do_not_race(image: Sample, tmp_path: Path) -> None:
    program = build(tmp_path, THREAD_SANITIZER, "calls")["calls"]
    run(program, *image.arguments(), volume_root(tmp_path / "host"))


@pytest.mark.parametrize("target", ["image", "verity", "sizes/3145733", "sizes/65", "bin/busybox"])
def test_every_flipped_bit_is_refused(programs: dict[str, Path], image: Sample, target: str) -> None:
    run(programs["tree"], *image.arguments(), "tamper", target, 1, max(10, int(400 * SCALE)))


@pytest.mark.parametrize("target", ["image", "sizes/524289"])
def test_data_swapped_between_two_reads_never_shows(
    programs: dict[str, Path], image: Sample, target: str
) -> None:
    run(programs["tree"], *image.arguments(), "swap", target, 2, max(5, int(200 * SCALE)))


def with_data(image: Sample, folder: Path) -> Sample:
    """A copy whose data may be changed."""
    shutil.copytree(image.folder, folder / "copy", symlinks=True)
    return Sample(folder=folder / "copy", digest=image.digest)


@pytest.mark.parametrize("path", ["sizes/65", "sizes/4096", "sizes/4097", "sizes/524288", "sizes/3145733"])
@pytest.mark.parametrize("how", ["missing", "truncated", "longer", "empty", "replaced", "link", "directory"])
def test_changed_data_is_an_error_and_one_line(
    programs: dict[str, Path], image: Sample, tmp_path: Path, path: str, how: str
) -> None:
    copy = with_data(image, tmp_path)
    file = copy.folder / "root" / path
    content = file.read_bytes()
    file.unlink()
    match how:
        case "truncated":
            file.write_bytes(content[:-1])
        case "longer":
            file.write_bytes(content + b"\0")
        case "empty":
            file.write_bytes(b"")
        case "replaced":
            file.write_bytes(content[::-1])
        case "link":
            (copy.folder / "root" / "other").write_bytes(content)
            file.symlink_to("../other")
        case "directory":
            file.mkdir()
        case _:
            assert how == "missing"
    errno, lines, message = run(programs["tree"], *copy.arguments(), "read", f"/{path}").split(" ", 2)
    assert (errno, lines) == ("E5", "1")
    assert message.startswith(f"/{path}: ")


def test_what_the_host_adds_is_invisible(programs: dict[str, Path], image: Sample, tmp_path: Path) -> None:
    copy = with_data(image, tmp_path)
    (copy.folder / "root" / "etc" / "added").write_text("x")
    (copy.folder / "root" / "bin" / "twin").chmod(0o600)
    lines = run(programs["tree"], *copy.arguments(), "list").splitlines()
    assert set(lines) == expected_lines()
    assert run(programs["tree"], *copy.arguments(), "read", "/etc/added").startswith("E2 0")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_parser_withstands_wrong_images(programs: dict[str, Path], image: Sample, seed: int) -> None:
    run(programs["fuzz"], image.folder / "rootfs.erofs", seed, int(20_000 * SCALE))


@pytest.mark.parametrize("seed", [1, 2])
def test_no_lie_about_the_network_reaches_the_program(
    programs: dict[str, Path], image: Sample, seed: int
) -> None:
    """Names, lengths, descriptors of others, events that nobody asked for, data after the end."""
    run(programs["network"], *image.arguments(), seed, int(400_000 * SCALE))
