"""Well-known files are found wherever their paths lead, and a layer is read again for them at most once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import pytest

from enclavize.compat.library_path import default_folders
from enclavize.errors import IntegrityError
from enclavize.libos.builtin.backend import INLINE_FILES, doubts_about_host_files, hostname_of
from enclavize.libos.builtin.users import account_of
from enclavize.libos.gramine.mounts import network_files
from enclavize.oci.image_config import parse_config
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from enclavize.rootfs.erofs import write_erofs
from enclavize.rootfs.index import index_image
from enclavize.rootfs.tree import MAX_CONTENT_SIZE
from enclavize.tee.policy import Policy
from support.images import directory, file, hard_link, symlink
from support.indexing import cache_of, image_of, index_layers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.stream import Sink
    from enclavize.rootfs.tree import Rootfs
    from support.images import Member

PASSWD = """root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
app:x:1000:1001:app:/home/app:/bin/sh
"""
GROUP = "root:x:0:\n" + "".join(f"g{gid}:x:{gid}:\n" for gid in range(2000, 2010)) + "more:x:1002:app\n"
CONF = "# " + "c" * 80 + "\n/opt/lib\n"
HOSTS = "127.0.0.1 localhost\n" + "10.0.0.1 peer\n" * 10

FORMS: dict[str, list[list[Member]]] = {
    "plain": [[file("etc/NAME", "TEXT")]],
    "a symbolic link": [[file("nix/x/NAME.conf", "TEXT"), symlink("etc/NAME", "../nix/x/NAME.conf")]],
    "an absolute link": [[file("nix/x/NAME.conf", "TEXT"), symlink("etc/NAME", "/nix/x/NAME.conf")]],
    "links through links": [
        [file("a/x", "TEXT"), symlink("b", "a"), symlink("c", "b/x"), symlink("etc/NAME", "../c")]
    ],
    "a hard link": [[file("etc/NAME-", "TEXT"), hard_link("etc/NAME", "etc/NAME-")]],
    "a hard link to a lower layer": [[file("usr/share/x", "TEXT")], [hard_link("etc/NAME", "usr/share/x")]],
    "a linked folder": [[file("nix/etc/NAME", "TEXT"), symlink("etc", "nix/etc")]],
    "a link in a higher layer": [[file("usr/share/x", "TEXT")], [symlink("etc/NAME", "/usr/share/x")]],
    "a target in a higher layer": [[symlink("etc/NAME", "/usr/share/x")], [file("usr/share/x", "TEXT")]],
    "a target that is replaced": [
        [file("usr/share/x", "something else " * 10)],
        [symlink("etc/NAME", "/usr/share/x"), file("usr/share/x", "TEXT")],
    ],
}  # fmt: skip


def tree(folder: Path, form: str, name: str, text: str) -> Rootfs:
    """Return a tree with a file of this name in /etc, in this form."""
    layers = [
        [
            replace(
                member,
                path=member.path.replace("NAME", name),
                link=member.link.replace("NAME", name),
                data=member.data.replace(b"TEXT", text.encode()),
            )
            for member in layer
        ]
        for layer in FORMS[form]
    ]
    return index_layers(folder, layers, "gzip")


@pytest.mark.parametrize("form", FORMS)
def test_users_are_found(tmp_path: Path, form: str) -> None:
    config = parse_config(json.dumps({"config": {"User": "app"}}).encode(), "c")
    account = account_of(tree(tmp_path, form, "passwd", PASSWD), config)
    assert (account.user.uid, account.user.gid, account.home) == (1000, 1001, "/home/app")
    config = parse_config(json.dumps({"config": {"User": "5:more"}}).encode(), "c")
    assert account_of(tree(tmp_path / "group", form, "group", GROUP), config).user.gid == 1002


@pytest.mark.parametrize("form", FORMS)
def test_folders_of_libraries_are_found(tmp_path: Path, form: str) -> None:
    assert "/opt/lib" in default_folders(tree(tmp_path / "1", form, "ld.so.conf", CONF), "glibc")
    assert "/opt/lib" in default_folders(tree(tmp_path / "2", form, "ld-musl-x86_64.path", CONF), "musl")


@pytest.mark.parametrize("place", ["etc/ld.so.conf.d", "usr/conf"])
@pytest.mark.parametrize("form", ["plain", "a link", "a hard link", "a linked folder"])
def test_included_files_are_found(tmp_path: Path, form: str, place: str) -> None:
    include = file("etc/ld.so.conf", f"include /{place}/*.conf\n")
    members = {
        "plain": [directory(place), file(f"{place}/a.conf", CONF)],
        "a link": [file("nix/a", CONF), symlink(f"{place}/a.conf", "/nix/a")],
        "a hard link": [file("nix/a", CONF), hard_link(f"{place}/a.conf", "nix/a")],
        "a linked folder": [file("nix/a.conf", CONF), symlink(place, "/nix")],
    }[form]
    assert "/opt/lib" in default_folders(index_layers(tmp_path, [[include, *members]]), "glibc")


@pytest.mark.parametrize("form", FORMS)
def test_the_hosts_files_are_found(tmp_path: Path, form: str) -> None:
    assert hostname_of(tree(tmp_path / "1", form, "hostname", "box" + "\n" * 100)) == "box"
    rootfs = tree(tmp_path / "2", form, "hosts", HOSTS)
    assert network_files(rootfs) == {"hosts": HOSTS.encode()}
    write_erofs(rootfs, tmp_path / "e", tmp_path / "v", inline=INLINE_FILES)
    assert HOSTS.encode() in (tmp_path / "e").read_bytes()


def test_large_user_databases_are_read_and_huge_ones_are_not(tmp_path: Path) -> None:
    text = "\n" * (100 << 10) + PASSWD
    rootfs = tree(tmp_path / "1", "plain", "passwd", text)
    entry = rootfs.resolve("etc/passwd")
    assert entry.content is None
    assert rootfs.content(entry) == text.encode()
    rootfs = tree(tmp_path / "2", "plain", "passwd", "\n" * MAX_CONTENT_SIZE + PASSWD)
    assert rootfs.content(rootfs.resolve("etc/passwd")) is None


@pytest.mark.parametrize("name", ["hosts", "hostname", "resolv.conf"])
def test_hosts_files_that_do_not_fit_into_the_enclave_are_told(tmp_path: Path, name: str) -> None:
    for size, doubts in ((64 << 10, 0), ((64 << 10) + 1, 1)):
        layers = [[file("x", "#" * size), symlink(f"etc/{name}", "/x")]]
        rootfs = index_layers(tmp_path / str(size), layers)
        found = list(doubts_about_host_files(rootfs, Policy()))
        assert len(found) == doubts
        assert all(f"/etc/{name} has 65537 bytes" in text for text in found)
        assert not list(doubts_about_host_files(rootfs, Policy(allow_host_network_files=True)))


def test_links_that_lead_nowhere_are_no_files(tmp_path: Path) -> None:
    members = [
        symlink("etc/passwd", "passwd"),
        symlink("etc/group", "/proc/none"),
        symlink("etc/hostname", "/etc"),
    ]
    rootfs = index_layers(tmp_path, [members])
    assert account_of(rootfs, parse_config(b"{}", "c")).user.uid == 0
    assert hostname_of(rootfs) == "localhost"


LINKED = [
    [file("a", PASSWD), file("b", GROUP), file("c", CONF), file("d", CONF * 2)],
    [symlink("etc/passwd", "/a"), symlink("etc/group", "/b"), symlink("etc/ld.so.conf.d/c.conf", "/c")],
    [file("etc/ld.so.conf", "include ld.so.conf.d/*.conf\n")],
]


def counted(
    folder: Path, change: Callable[[Descriptor], None] = lambda _: None
) -> tuple[Rootfs, list[Descriptor]]:
    """Index ``LINKED``; return the tree, and the blobs that are opened from then on."""
    if (folder / "layout").exists():
        location = parse_location(f"oci:{folder / 'layout'}:1")
        image = resolve(location, cache=cache_of(folder), reporter=Reporter())
    else:
        image = image_of(folder, LINKED, "gzip")
    rootfs = index_image(image, cache=cache_of(folder), reporter=Reporter())
    opened: list[Descriptor] = []
    open_blob = image.source.open_blob

    def count(
        descriptor: Descriptor, *, advance: Callable[[int], None] | None = None, sink: Sink | None = None
    ) -> BinaryIO:
        change(descriptor)
        opened.append(descriptor)
        return open_blob(descriptor, advance=advance, sink=sink)

    object.__setattr__(image.source, "open_blob", count)
    return rootfs, opened


def test_a_layer_is_read_once_for_all_files_and_never_again(tmp_path: Path) -> None:
    rootfs, opened = counted(tmp_path)
    account_of(rootfs, parse_config(b"{}", "c"))
    assert "/opt/lib" in default_folders(rootfs, "glibc")
    assert len(opened) == 1
    assert rootfs.content(rootfs.resolve("d")) == (CONF * 2).encode()  # which is not well-known
    assert len(opened) == 2
    rootfs, opened = counted(tmp_path)
    account_of(rootfs, parse_config(b"{}", "c"))
    assert opened == []


def test_a_layer_that_has_changed_in_the_meantime_is_told(tmp_path: Path) -> None:
    layout = tmp_path / "layout"

    def change(descriptor: Descriptor) -> None:
        other = image_of(tmp_path / "other", [[file("a", PASSWD.upper()), *LINKED[0][1:]]], "gzip")
        path = layout / "blobs" / "sha256" / descriptor.digest.removeprefix("sha256:")
        data = (tmp_path / "other" / "layout" / "blobs" / "sha256" / other.layers[0].digest[7:]).read_bytes()
        path.write_bytes(data.ljust(descriptor.size, b"\0")[: descriptor.size])

    rootfs, _ = counted(tmp_path, change)
    with pytest.raises(IntegrityError, match=r"than when it was indexed|has digest"):
        account_of(rootfs, parse_config(b"{}", "c"))
