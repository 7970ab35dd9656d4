"""``ld.so.cache`` as ``ldconfig`` reads and writes it."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclavize.libos.gramine.library_cache import libraries, library_cache
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from enclavize.rootfs.entry import ElfFacts, Entry, FileType
from enclavize.rootfs.index import index_image
from enclavize.rootfs.tree import Rootfs
from support.images import build_image, directory, file, symlink, write_layout
from support.indexing import cache_of
from support.programs import need

if TYPE_CHECKING:
    from collections.abc import Mapping

LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
NAMES = st.from_regex(r"lib[a-z_]{0,3}[0-9]{0,11}(\.[0-9]{1,3})?\.so(\.[0-9]{1,3}){0,2}", fullmatch=True)


def shown(cache: Path) -> list[tuple[str, str]]:
    """Return what ``ldconfig -p`` tells, in the order of the file."""
    done = subprocess.run(["/sbin/ldconfig", "-p", "-C", cache], capture_output=True, text=True, check=True)
    return re.findall(r"^\t(\S+) \(libc6,x86-64\) => (\S+)$", done.stdout, re.MULTILINE)


def compared(one: str, other: str) -> int:
    """Compare two names as elf/dl-cache.c does, byte by byte; the sign counts."""
    tokens = [re.findall(r"\d+|\D", name) for name in (one, other)]
    for left, right in zip(*tokens, strict=False):
        numbers = left.isdigit(), right.isdigit()
        if all(numbers):
            values = [(int(text) + 2**31) % 2**32 - 2**31 for text in (left, right)]
            if values[0] != values[1]:
                return 1 if values[0] > values[1] else -1
        elif any(numbers):
            return 1 if numbers[0] else -1
        elif left != right:
            return ord(left) - ord(right)
    return len(tokens[0]) - len(tokens[1])


@given(st.dictionaries(NAMES, st.just("/lib/x")))
def test_names_descend_as_the_loader_compares_them(paths: Mapping[str, str]) -> None:
    data = library_cache(paths)
    count = int.from_bytes(data[20:24], "little")
    offsets = [int.from_bytes(data[48 + 24 * number + 4 :][:4], "little") for number in range(count)]
    names = [data[offset : data.index(b"\0", offset)].decode() for offset in offsets]
    assert sorted(names) == sorted(paths)
    assert all(compared(one, other) >= 0 for one, other in pairwise(names))


def test_ldconfig_reads_it(tmp_path: Path) -> None:
    need("/sbin/ldconfig")
    paths = {"libz.so.1": "/lib/libz.so.1", "libz.so.10": "/opt/z", "ld-linux-x86-64.so.2": "/lib64/ld"}
    (tmp_path / "cache").write_bytes(library_cache(paths))
    found = shown(tmp_path / "cache")
    assert dict(found) == paths
    assert [name for name, _ in found] == ["libz.so.10", "libz.so.1", "ld-linux-x86-64.so.2"]


def test_libraries_are_those_that_ldconfig_finds_in_the_same_order(tmp_path: Path) -> None:
    """With the files of this machine: links, versions, files that are no libraries."""
    need("/sbin/ldconfig")
    chosen = [
        path
        for path in sorted(LIBRARIES.glob("lib[a-d]*.so*"))
        if path.is_file() and path.stat().st_size < 1 << 19
    ][:60]
    if len(chosen) < 20:
        pytest.skip("this machine has no folder of libraries as Debian's")
    root = tmp_path / "root"
    (root / "usr/lib/x86_64-linux-gnu").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "etc/ld.so.conf").write_text("/usr/lib/x86_64-linux-gnu\n")
    members = [directory("usr"), directory("usr/lib"), directory("usr/lib/x86_64-linux-gnu")]
    for path in chosen:
        name = f"usr/lib/x86_64-linux-gnu/{path.name}"
        if path.is_symlink() and "/" not in str(path.readlink()):
            (root / name).symlink_to(path.readlink())
            members.append(symlink(name, str(path.readlink())))
        else:
            shutil.copy(path, root / name)
            members.append(file(name, path.read_bytes(), 0o644))
    subprocess.run(["/sbin/ldconfig", "-X", "-r", root, "-C", "/cache"], check=True, capture_output=True)
    theirs = shown(root / "cache")
    layout = write_layout(tmp_path / "image", {"1": build_image([members], config={})})
    image = resolve(parse_location(f"oci:{layout}:1"), cache=cache_of(tmp_path), reporter=Reporter())
    rootfs = index_image(image, cache=cache_of(tmp_path), reporter=Reporter())
    (tmp_path / "ours").write_bytes(
        library_cache(libraries(rootfs, ("/usr/lib/x86_64-linux-gnu", "/nothing")))
    )
    ours = shown(tmp_path / "ours")
    names = {name for name, _ in theirs}
    assert len(names) > 15
    assert [name for name, _ in ours if name in names] == [name for name, _ in theirs]
    assert {name: Path(path).name for name, path in theirs} == {
        name: Path(path).name for name, path in ours if name in names
    }


def test_folders_that_come_first_count_and_files_for_other_machines_do_not() -> None:
    def library(path: str, bits: int = 64, machine: int = 62, soname: str = "") -> Entry:
        facts = ElfFacts(bits=bits, machine=machine, type=3, soname=soname)
        return Entry(path=path, type=FileType.REGULAR, mode=0o755, elf=facts)

    rootfs = Rootfs(
        (
            *(Entry(path=path, type=FileType.DIRECTORY, mode=0o755) for path in ("opt", "usr", "usr/lib")),
            Entry(path="lib", type=FileType.SYMLINK, mode=0o777, link_target="usr/lib"),
            library("opt/liba.so.1"),
            library("usr/lib/liba.so.1"),
            library("usr/lib/libb-2.1.so", soname="libb.so.2"),
            library("usr/lib/lib32.so.1", bits=32, machine=3),
            library("usr/lib/plugin.so"),
            Entry(path="usr/lib/libc.so", type=FileType.REGULAR, mode=0o644),
            Entry(path="usr/lib/liblost.so.1", type=FileType.SYMLINK, mode=0o777, link_target="nowhere"),
        ),
        merkle_reader=lambda _entry: b"",
    )
    assert libraries(rootfs, ("/opt", "/lib", "/usr/lib")) == {
        "liba.so.1": "/opt/liba.so.1",
        "libb-2.1.so": "/lib/libb-2.1.so",
        "libb.so.2": "/lib/libb-2.1.so",
    }
