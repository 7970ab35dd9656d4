"""What a tree remembers of its links changes no result: compared with the plain way."""

from __future__ import annotations

import errno
import os
import random

import pytest

from enclavize.rootfs.entry import Entry, FileType
from enclavize.rootfs.tree import MAX_SYMLINKS, Rootfs
from support.scale import scaled


def plain_resolve(entries: dict[str, Entry], path: str, *, follow: bool) -> Entry:
    """As the kernel does it, one name after the other."""
    pending = path.split("/")[::-1]
    where = entries[""]
    links = 0
    while pending:
        name = pending.pop()
        if where.type is not FileType.DIRECTORY:
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        if name in {"", "."}:
            continue
        if name == "..":
            where = entries[where.path.rpartition("/")[0]]
            continue
        found = entries.get(f"{where.path}/{name}" if where.path else name)
        if found is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if found.type is not FileType.SYMLINK or not (pending or follow):
            where = found
            continue
        links += 1
        if links > MAX_SYMLINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if found.link_target.startswith("/"):
            where = entries[""]
        pending.extend(found.link_target.split("/")[::-1])
    return where


def random_tree(rng: random.Random) -> dict[str, Entry]:
    """Folders a to c, in each links with names l to s, which lead anywhere."""
    entries = {"": Entry(path="", type=FileType.DIRECTORY, mode=0o755)}
    for folder in ("a", "a/b", "a/b/c", "b", "c"):
        entries[folder] = Entry(path=folder, type=FileType.DIRECTORY, mode=0o755)
    for folder in list(entries):
        for name in "lmnopqrs":
            path = f"{folder}/{name}" if folder else name
            if rng.random() < 0.2:
                entries[path] = Entry(path=path, type=FileType.REGULAR, mode=0o644)
            elif rng.random() < 0.8:
                entries[path] = Entry(
                    path=path, type=FileType.SYMLINK, mode=0o777, link_target=random_path(rng) or "."
                )
    return entries


def random_path(rng: random.Random) -> str:
    names = ("a", "b", "c", "..", ".", "", *"lmnopqrs")
    return "/".join(rng.choices(names, k=rng.randrange(1, 5)))


def outcome(resolve: object, *arguments: object, **options: object) -> object:
    try:
        found = resolve(*arguments, **options)  # type: ignore[operator]
    except OSError as error:
        return error.errno, error.filename
    return found.path


def test_remembered_links_change_no_result() -> None:
    seen = set()
    for seed in range(scaled(20_000)):
        rng = random.Random(seed)
        entries = random_tree(rng)
        tree = Rootfs(entries.values(), merkle_reader=lambda _entry: b"")
        for _ in range(30):
            path, follow = random_path(rng), rng.random() < 0.7
            expected = outcome(plain_resolve, entries, path, follow=follow)
            seen.add(expected[0] if isinstance(expected, tuple) else 0)
            assert outcome(tree.resolve, path, follow=follow) == expected, f"seed {seed}, {path!r}"
    assert seen == {0, errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


@pytest.mark.parametrize("first", [True, False])
def test_a_chain_has_forty_links_wherever_it_is_entered(first: bool) -> None:
    """Whichever of its links was asked for before."""
    entries = {"": Entry(path="", type=FileType.DIRECTORY, mode=0o755)}
    entries["end"] = Entry(path="end", type=FileType.REGULAR, mode=0o644)
    for number in range(100):
        target = f"l{number - 1}" if number else "end"
        path = f"l{number}"
        entries[path] = Entry(path=path, type=FileType.SYMLINK, mode=0o777, link_target=target)
    tree = Rootfs(entries.values(), merkle_reader=lambda _entry: b"")
    for number in range(100) if first else reversed(range(100)):
        expected = "end" if number < MAX_SYMLINKS else (errno.ELOOP, f"l{number}")
        assert outcome(tree.resolve, f"l{number}") == expected
