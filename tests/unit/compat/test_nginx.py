"""nginx's configuration is read as far as a server would have one, and not more often than is needed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from enclavize.compat.nginx import configuration
from enclavize.compat.subject import Subject
from enclavize.rootfs.entry import Entry, FileType
from enclavize.rootfs.tree import Rootfs
from support.entries import program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Image:
    """An image with the texts of files; ``reads`` are the numbers of files that were read at a time."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.reads: list[int] = []
        self._contents = {hashlib.sha256(text.encode()).digest(): text.encode() for text in texts.values()}
        folders = {name.rpartition("/")[0] for name in texts} | {"bin", "etc", "etc/nginx"}
        self.rootfs = Rootfs(
            [
                *(Entry(path=path, type=FileType.DIRECTORY, mode=0o755) for path in folders),
                *(
                    Entry(
                        path=path, type=FileType.REGULAR, mode=0o644, size=len(text), data_path=path,
                        sha256=hashlib.sha256(text.encode()).digest(),
                    )
                    for path, text in texts.items()
                ),
                program("bin/nginx"),
            ],
            merkle_reader=lambda _entry: b"",
            content_reader=self._read,
        )  # fmt: skip

    def _read(self, wanted: Sequence[Entry]) -> dict[bytes, bytes]:
        self.reads.append(len(wanted))
        return {entry.sha256: self._contents[entry.sha256] for entry in wanted}


def test_a_layer_is_read_once_for_all_files_of_one_depth() -> None:
    texts = {f"etc/nginx/own.d/{number}.conf": f"a_{number} x;" for number in range(20)}
    image = Image(texts | {"etc/nginx/nginx.conf": "include own.d/*.conf; include own.d/0.conf;"})
    said = configuration(image.rootfs, ("nginx",))
    assert all(text in said for text in texts.values())
    assert image.reads == [1, 20]


def test_a_command_line_is_looked_at_once() -> None:
    image = Image({"etc/nginx/nginx.conf": "a x;"})
    subject = Subject(
        rootfs=image.rootfs, arguments=("nginx",), working_directory="/", environment={"PATH": "/bin"},
        uid=0, gids=frozenset(),
    )  # fmt: skip
    assert subject.nginx(("nginx",)) is subject.nginx(("nginx",))
    assert "b y;" in subject.nginx(("nginx", "-g", "b y;"))
    assert image.reads == [1]


def test_what_includes_without_end_is_read_to_a_bound() -> None:
    many = {f"etc/nginx/{number}": f"include {number + 1}; include *; # {number}" for number in range(500)}
    image = Image(
        many | {"etc/nginx/nginx.conf": "include 0;" + "".join(f"include no{n};" for n in range(3000))}
    )
    said = configuration(image.rootfs, ("nginx",))
    assert sum(image.reads) <= 64
    assert said.count("include") < 4000
    itself = Image({"etc/nginx/nginx.conf": "include nginx.conf; include *.conf;"})
    configuration(itself.rootfs, ("nginx",))
    assert itself.reads == [1]
