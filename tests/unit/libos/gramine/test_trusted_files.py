"""Every name of every file is listed once, and nothing that cannot be opened."""

from __future__ import annotations

import hashlib
import random
import tomllib
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import IncompatibleImageError
from enclavize.libos.gramine import trusted_files as module
from enclavize.libos.gramine.trusted_files import trusted_files, unlisted_files
from enclavize.rootfs.entry import Entry, FileType
from enclavize.rootfs.tree import Rootfs
from enclavize.sgx.gramine_manifest import complete_manifest
from support.scale import scaled

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.libos.gramine.trusted_files import TrustedFiles


def file(path: str, mode: int = 0o644) -> Entry:
    return Entry(
        path=path,
        type=FileType.REGULAR,
        mode=mode,
        sha256=hashlib.sha256(path.encode(errors="surrogateescape")).digest(),
    )


def folder(path: str) -> Entry:
    return Entry(path=path, type=FileType.DIRECTORY, mode=0o755)


def link(path: str, target: str) -> Entry:
    return Entry(path=path, type=FileType.SYMLINK, mode=0o777, link_target=target)


def tree(*entries: Entry) -> Rootfs:
    folders = {
        "/".join(parts[:count])
        for entry in entries
        if (parts := entry.path.split("/"))
        for count in range(1, len(parts))
    }
    made = {entry.path: entry for entry in (*map(folder, folders), *entries)}
    return Rootfs(made.values(), merkle_reader=lambda _entry: b"")


def paths(*entries: Entry, hidden: tuple[str, ...] = ()) -> list[str]:
    return list(trusted_files(tree(*entries), hidden).hashes)


def opened(found: TrustedFiles, path: str) -> str:
    """Return the path of the URI by which Gramine opens a path: by the innermost mount above it."""
    above = [mounted for mounted in found.links if path.startswith(f"{mounted}/")]
    if not above:
        return path
    mounted = max(above, key=len)
    return found.links[mounted] + path.removeprefix(mounted)


def test_a_merged_usr_is_mounted_and_no_file_is_listed_twice() -> None:
    found = trusted_files(
        tree(file("usr/bin/python3.11"), link("usr/bin/python3", "python3.11"), link("bin", "usr/bin"))
    )
    assert list(found.hashes) == ["/usr/bin/python3", "/usr/bin/python3.11"]
    assert found.links == {"/bin": "/usr/bin"}


def test_links_to_folders_without_files_and_above_volumes_are_not_mounted() -> None:
    entries = [
        file("usr/lib/x.so"), file("srv/data/x"), file("srv/y"), folder("run"),
        link("lib", "usr/lib"), link("var/run", "/run"), link("www", "srv"), link("proc2", "/proc"),
    ]  # fmt: skip
    found = trusted_files(tree(*entries), ("/www/data", "/etc/hosts"))
    assert found.links == {"/lib": "/usr/lib"}
    assert list(found.hashes) == ["/srv/data/x", "/srv/y", "/usr/lib/x.so", "/www/y"]


def test_too_many_links_to_folders_are_not_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [file("real/file"), *(link(f"link{number}", "real") for number in range(5))]
    assert len(trusted_files(tree(*entries)).links) == 5
    monkeypatch.setattr(module, "MAX_MOUNTED_LINKS", 4)
    found = trusted_files(tree(*entries))
    assert (found.links, len(found.hashes)) == ({}, 6)


def test_alternatives_are_followed_to_the_file() -> None:
    found = trusted_files(
        tree(
            file("usr/bin/vim.tiny"),
            link("etc/alternatives/vi", "/usr/bin/vim.tiny"),
            link("usr/bin/vi", "/etc/alternatives/vi"),
            link("broken", "/nowhere"),
        )
    ).hashes
    assert list(found) == ["/etc/alternatives/vi", "/usr/bin/vi", "/usr/bin/vim.tiny"]
    assert len(set(found.values())) == 1


def test_links_inside_linked_folders_are_followed() -> None:
    found = trusted_files(
        tree(
            file("usr/lib/jvm/java-17/lib/server/libjvm.so"),
            link("usr/lib/jvm/default-java", "java-17"),
            link("lib", "usr/lib"),
        )
    )
    assert list(found.hashes) == ["/usr/lib/jvm/java-17/lib/server/libjvm.so"]
    assert list(found.links.items()) == [
        ("/lib", "/usr/lib"),
        ("/lib/jvm/default-java", "/usr/lib/jvm/java-17"),
        ("/usr/lib/jvm/default-java", "/usr/lib/jvm/java-17"),
    ]


@pytest.mark.parametrize("target", [".", "/", "..", "/usr", "/usr/bin", "/other/back"])
def test_circles_end(target: str) -> None:
    found = paths(file("usr/bin/X"), link("usr/bin/X11", target), link("other/back", "/usr"))
    assert "/usr/bin/X" in found
    assert len(found) == len(set(found)) < 10
    assert not any(path.count("X11") > 1 for path in found)


def test_what_gramine_has_of_its_own_and_what_is_hidden_is_left_out() -> None:
    assert paths(
        file("proc/x"),
        file("sys/x"),
        Entry(path="dev/null", type=FileType.CHARACTER_DEVICE, mode=0o666, rdev=(1, 3)),
        file("data/host"),
        file("etc/hosts"),
        file("etc/passwd"),
        link("volume", "data"),
        link("also", "/data/host"),
        hidden=("/data", "/etc/hosts"),
    ) == ["/etc/passwd"]


def test_what_a_list_lacks_is_found_by_its_own_name() -> None:
    whole = tree(
        file("usr/lib/x.so"), link("lib", "usr/lib"), file("etc/ld.so.preload"), file("data/x"),
        file("proc/x"), file("etc/hosts"), file("secret", 0), file("n\udc80"),
    )  # fmt: skip
    hidden = ("/data", "/etc/hosts")
    listed = trusted_files(whole, hidden).hashes
    assert list(unlisted_files(whole, listed, hidden)) == []
    assert list(unlisted_files(whole, ["/lib/x.so"], hidden)) == ["/etc/ld.so.preload", "/usr/lib/x.so"]


def test_files_that_nobody_can_open_are_told() -> None:
    found = trusted_files(tree(file("secret", 0o000), file("bad\udc80name"), file("fine", 0o040)))
    assert list(found.hashes) == ["/fine"]
    assert found.left_out["/secret"] == "nobody may read it"
    assert "not UTF-8" in found.left_out["/bad\udc80name"]


def test_devices_outside_dev_are_refused() -> None:
    with pytest.raises(IncompatibleImageError, match=r"character device /srv/tty \(5:0\)"):
        paths(Entry(path="srv/tty", type=FileType.CHARACTER_DEVICE, mode=0o666, rdev=(5, 0)))


def test_a_list_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TRUSTED_FILES", 100)
    entries = [folder(f"d{number}") for number in range(9)]
    entries += [link(f"d{one}/d{two}", f"../d{two}") for one in range(9) for two in range(9) if one != two]
    with pytest.raises(IncompatibleImageError, match="more than 100 paths"):
        paths(*entries, file("d0/file"))


def test_paths_without_end_to_no_file_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two links in each folder to the next one make 2^40 paths; whether files are there does not matter."""
    monkeypatch.setattr(module, "MAX_PATHS", 10_000)
    entries = [folder(f"d{number}") for number in range(41)]
    entries += [link(f"d{number}/{name}", f"../d{number + 1}") for number in range(40) for name in "ab"]
    with pytest.raises(IncompatibleImageError, match="more than 10000 paths"):
        paths(*entries)


def plain_paths(rootfs: Rootfs) -> set[str]:
    """All paths, with the set of all folders on the way to each."""
    found = set()

    def walk(folder: str, real: str, above: frozenset[str]) -> None:
        for child in rootfs.children(real):
            path = f"{folder}/{child.path.rpartition('/')[2]}"
            entry = rootfs.find(child.path)
            if entry is None:
                continue
            if entry.type is not FileType.DIRECTORY:
                found.add(path)
            elif entry.path not in above:
                parts = entry.path.split("/")
                walk(path, entry.path, above | {"/".join(parts[:count]) for count in range(len(parts) + 1)})

    walk("", "", frozenset({""}))
    return found


def test_circles_are_what_they_were_by_the_folders_on_the_way() -> None:
    for seed in range(scaled(4000)):
        rng = random.Random(seed)
        folders = ["a", "a/b", "a/b/c", "d", "d/e", "f"]
        entries = [*map(folder, folders), *(file(f"{name}/file") for name in folders)]
        for name in folders:
            if rng.random() < 0.6:
                target = "/" + rng.choice([*folders, "", "a/b/link", "d/link"])
                entries.append(link(f"{name}/link", target))
        rootfs = tree(*entries)
        found, plain = trusted_files(rootfs), plain_paths(rootfs)
        assert {opened(found, path) for path in plain} == set(found.hashes) <= plain, f"seed {seed}"


def test_the_list_of_a_tree_is_that_of_gramines_own_tools(tmp_path: Path) -> None:
    entries = [file(f"{letter}/{number}") for letter in "bac" for number in range(12)]
    entries += [link("b/also", "0"), link("b/up", "../a/1")]
    for entry in entries:
        path = tmp_path / entry.path
        path.parent.mkdir(exist_ok=True)
        if entry.type is FileType.SYMLINK:
            path.symlink_to(entry.link_target)
        else:
            path.write_text(entry.path)
    manifest = (
        b"libos.entrypoint = '/x'\nloader.entrypoint = {uri = 'file:/y', sha256 = '" + b"0" * 64 + b"'}\n"
        b"sgx.trusted_files = ['file:/']\n"
    )
    expanded = tomllib.loads(complete_manifest(manifest, chroot=tmp_path).text.decode())["sgx"][
        "trusted_files"
    ]
    ours = trusted_files(tree(*entries)).hashes
    assert [(item["uri"], item["sha256"]) for item in expanded] == [
        (f"file:{path}", digest) for path, digest in ours.items()
    ]


def test_twenty_thousand_files_are_sorted() -> None:
    entries = [file(f"usr/lib/python3/package{number // 100}/module{number}.py") for number in range(20_000)]
    found = paths(*entries, link("lib", "usr/lib"), link("usr/lib/python3/latest", "package0"))
    assert len(found) == 20_000
    assert found == sorted(found)
