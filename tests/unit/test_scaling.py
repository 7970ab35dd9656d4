"""Images that are made to be dear: four times as large, they take four times as long, not sixteen times."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from enclavize.compat import shell
from enclavize.compat.program import CommandPath, Program, find_program
from enclavize.compat.script_commands import ScriptCommand
from enclavize.compat.stages import Stage
from enclavize.errors import InvalidImageError
from enclavize.libos.gramine.trusted_files import trusted_files, unlisted_files
from enclavize.oci.docker_manifest import DockerEntry
from enclavize.oci.document import parse_document
from enclavize.oci.image_config import CONFIG_SHAPE
from enclavize.oci.referrers import _NEXT_PAGE
from enclavize.oci.registry.auth import parse_challenge
from enclavize.oci.tar_files import TarFiles
from enclavize.rootfs import merge
from enclavize.rootfs.entry import ElfFacts, Entry, FileType
from enclavize.rootfs.erofs import write_erofs
from enclavize.rootfs.layer import _Scanner
from enclavize.rootfs.pax import Extensions
from enclavize.rootfs.records import HardLink, OpaqueWhiteout, Whiteout
from enclavize.rootfs.rows import RowWriter
from enclavize.rootfs.tar_header import TarFormatError
from enclavize.rootfs.tree import Rootfs
from support.images import file, tar_of
from support.scaling import check_linear, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from enclavize.rootfs.records import Record
    from support.images import Member

LOADER = "/lib64/ld-linux-x86-64.so.2"


def entry(path: str, kind: FileType = FileType.REGULAR, target: str = "", **values: object) -> Entry:
    known = {"path": path, "type": kind, "mode": 0o755, "link_target": target, "data_path": path}
    if kind is FileType.REGULAR:
        known["sha256"] = bytes(32)
    return Entry(**known, **values)  # type: ignore[arg-type]


def hard_link(path: str, target: str) -> HardLink:
    return HardLink(path=path, target=target, mode=0o755, uid=0, gid=0, xattrs={})


def files(count: int, folder: str = "d") -> list[Record]:
    return [entry(f"{folder}/{number}") for number in range(count)]


def tree(records: Iterable[Record]) -> Rootfs:
    return Rootfs(merge.merge_layers([list(records)], ["layer"]), merkle_reader=lambda _entry: b"")


def refused(work: Callable[[], object]) -> Callable[[], object]:
    """Return the same, which may end with a refusal."""

    def attempt() -> object:
        try:
            return work()
        except (InvalidImageError, TarFormatError) as error:
            return error

    return attempt


LAYERS: dict[str, Callable[[int], list[list[Record]]]] = {
    "hard links of one file": lambda n: [[entry("x"), *(hard_link(f"d/{i}", "x") for i in range(n))]],
    "hard links in a chain": lambda n: [[entry("0"), *(hard_link(f"{i + 1}", f"{i}") for i in range(n))]],
    "whiteouts in one folder": lambda n: [files(n), [Whiteout(path=f"d/{i}") for i in range(n)]],
    "whiteouts of nothing": lambda n: [files(n), [Whiteout(path=f"d/no-{i}") for i in range(n)]],
    "one opaque folder, again and again": lambda n: [files(n), [OpaqueWhiteout(path="d")] * n],
    "deep paths": lambda n: [[entry("d/" * 500 + f"{i % 100}/{i}") for i in range(n)]],
    "a link that is replaced": lambda n: [[entry("a", FileType.SYMLINK, "b"), entry("a/x")] * n],
    "a chain of links": lambda n: [
        [
            *(entry(f"{i}", FileType.SYMLINK, f"{i + 1}") for i in range(n)),
            entry(f"{n}", FileType.DIRECTORY),
            *(entry(f"{n - i % 30}/x{i}") for i in range(n)),
        ]
    ],
}


@pytest.mark.parametrize("name", LAYERS, ids=lambda name: name.replace(" ", "-"))
def test_layers_are_merged(name: str) -> None:
    def make(count: int) -> Callable[[], object]:
        layers = LAYERS[name](count)
        return refused(lambda: merge.merge_layers(layers, [str(number) for number, _ in enumerate(layers)]))

    check_linear(make, 256)


@pytest.mark.parametrize("kind", [FileType.REGULAR, FileType.DIRECTORY, FileType.SYMLINK])
def test_members_behind_long_links_are_no_dearer_than_others(kind: FileType) -> None:
    """39 links of 1,600 steps, which once were taken for each member."""
    long, count = "d/../" * 800, 160_000  # so many that following the links once is the smaller part
    links = [entry(f"s{i}", FileType.SYMLINK, f"{long}s{i + 1}" if i < 38 else f"{long}d") for i in range(39)]
    folder = entry("d", FileType.DIRECTORY)
    behind = [folder, *links, *(entry(f"s0/{i}", kind, "d") for i in range(count))]
    plain = [folder, *links, *(entry(f"d/{i}", kind, "d") for i in range(count))]
    needed = min(seconds(lambda: merge.merge_layers([plain], ["layer"])) for _ in range(3))
    assert min(seconds(lambda: merge.merge_layers([behind], ["layer"])) for _ in range(3)) < 4 * needed


def test_links_of_a_tree_are_followed_once() -> None:
    long, count = "d/../" * 800, 300
    links = [entry(f"l{i}", FileType.SYMLINK, f"{long}l{i + 1}") for i in range(count)]
    root = tree([entry("d", FileType.DIRECTORY), *links, entry(f"l{count}")])
    first = seconds(lambda: root.find("l0"))
    others = seconds(lambda: [root.find(f"l{i}") for i in range(count)])
    assert root.find(f"l{count - 30}") is not None
    assert others < first


def pax_records(count: int) -> Callable[[], object]:
    records = (b"SCHILY.xattr.user.%08d=v\n" % number for number in range(count))
    data = b"".join(b"%d %s" % (len(record) + 3, record) for record in records)
    return refused(lambda: Extensions().take(b"x", data))


def members(make: Callable[[int], list[Member]]) -> Callable[[int], Callable[[], object]]:
    def scan(count: int) -> Callable[[], object]:
        data = tar_of(make(count))
        pieces = [data[at : at + (1 << 16)] for at in range(0, len(data), 1 << 16)]
        return lambda: _Scanner("layer", 0, 1 << 40, io.BytesIO()).scan(iter(pieces), RowWriter())

    return scan


def libraries(count: int) -> Callable[[], object]:
    names = tuple(f"lib{number}.so" for number in range(count))
    facts = ElfFacts(bits=64, machine=62, type=3, interpreter=LOADER, needed=names)
    root = tree(
        [
            entry("a", elf=facts),
            *(entry(f"lib/{name}", elf=ElfFacts(bits=64, machine=62, type=3)) for name in names),
        ]
    )
    return lambda: find_program(root, "/a", "/", {})


def configured_folders(count: int) -> Callable[[], object]:
    """Patterns in ld.so.conf, each of which is compared with all names of a folder."""
    facts = ElfFacts(bits=64, machine=62, type=3, interpreter=LOADER, needed=("x.so",))
    patterns = b"include /d/*z\n" * count
    root = tree([entry("a", elf=facts), entry("etc/ld.so.conf", content=patterns), *files(count)])
    return lambda: find_program(root, "/a", "/", {})


def commands(count: int) -> Callable[[], object]:
    root = tree(files(count, "bin"))
    path = CommandPath(root, "/", ":".join(f"/{i}" for i in range(count)) + ":/bin")
    return lambda: [path.find(f"no-{number}") for number in range(count)]


def linked_folders(count: int) -> Callable[[], object]:
    root = tree([entry("t/x"), *(entry(f"d/{i}", FileType.SYMLINK, "../t") for i in range(count))])
    return lambda: trusted_files(root)


def hidden_files(count: int) -> Callable[[], object]:
    root = tree(files(count))
    hidden = [f"/v{number}" for number in range(count)] + ["/d"]
    return lambda: list(unlisted_files(root, (), hidden))


def archive(count: int) -> Callable[[], object]:
    data = tar_of([file(f"d/{number}") for number in range(count)])
    stream = io.BytesIO(data)

    def work() -> object:
        import tempfile

        with tempfile.TemporaryFile() as disk:
            disk.write(stream.getvalue())
            disk.seek(0)
            return TarFiles(disk, "archive")

    return work


def document(make: Callable[[int], object]) -> Callable[[int], Callable[[], object]]:
    def parse(count: int) -> Callable[[], object]:
        data = json.dumps(make(count)).encode()
        return refused(lambda: parse_document(data, "config", CONFIG_SHAPE))

    return parse


def script(make: Callable[[int], str]) -> Callable[[int], Callable[[], object]]:
    return lambda count: lambda: shell.first_start(make(count), lambda _name: False)


def script_stage(count: int) -> Callable[[], object]:
    found = tuple(
        ScriptCommand(words=("x",), certain=True, replaces=False, decides=True) for _ in range(count)
    )
    stage = Stage(arguments=("/x",), program=Program(), uid=0, commands=found)
    return lambda: [stage.fails_with(command) for command in found]


def tags(count: int) -> Callable[[], object]:
    found = DockerEntry(config="c", layers=(), tags=(":" * count,), ambiguities=())
    return lambda: (found.__dict__.pop("names", None), found.__dict__.pop("name_ends", None), found.name_ends)


OTHERS: dict[str, Callable[[int], Callable[[], object]]] = {
    "pax records": pax_records,
    "small files": members(lambda n: [file(f"f{i}", b"x") for i in range(n)]),
    "long names": members(lambda n: [file("a/" * 1000 + str(i)) for i in range(n)]),
    "libraries": libraries,
    "linked folders": linked_folders,
    "hidden files": hidden_files,
    "members of an archive": archive,
    "names of a document": document(lambda n: {f"k{i}": 1 for i in range(n)}),
    "history in another spelling": document(lambda n: {"history": [{"Created": "x"}] * n}),
    "challenges": lambda n: lambda: parse_challenge(['Basic realm="a", ' * n, "a=" * n, '"' * n]),
    "pages of referrers": lambda n: lambda: _NEXT_PAGE.search("<" * n),
    "names of an image": tags,
    "commands of a script": script_stage,
}


@pytest.mark.parametrize("name", OTHERS, ids=lambda name: name.replace(" ", "-"))
def test_what_is_larger_takes_as_much_longer(name: str) -> None:
    check_linear(OTHERS[name], 256)


SCRIPTS: dict[str, Callable[[int], str]] = {
    "commands": lambda n: "x;" * n,
    "substitutions": lambda n: "$(" * n,
    "braces": lambda n: "${" * n,
    "here-documents": lambda n: "cat " + "<<a " * n + "\n" + "a\n" * n,
    "arrays": lambda n: "a=(x) " * n,
    "brackets": lambda n: "[[ a " * n,
    "functions": lambda n: "".join(f"f{i}() {{ x; }}\n" for i in range(n)),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "MAX_SCRIPT_SIZE", 1 << 30)
    monkeypatch.setattr(shell, "_MAX_STEPS", 1 << 30)
    check_linear(script(SCRIPTS[name]), 256)


TREES: dict[str, Callable[[int], list[Record]]] = {
    "one folder": files,
    "many folders": lambda n: [entry(f"d{i}/x") for i in range(n)],
    "names of one file": lambda n: [entry("x"), *(hard_link(f"d/{i}", "x") for i in range(n))],
    "xattrs": lambda n: [entry(f"d/{i}", xattrs={"user.a": b"%d" % i}) for i in range(n)],
}


@pytest.mark.parametrize("name", TREES, ids=lambda name: name.replace(" ", "-"))
def test_trees_are_written(name: str, tmp_path: Path) -> None:
    def make(count: int) -> Callable[[], object]:
        root = tree(TREES[name](count))
        return lambda: write_erofs(root, tmp_path / "image", tmp_path / "verity", inline=frozenset())

    check_linear(make, 256)


@pytest.mark.parametrize("make", [commands, configured_folders])
def test_what_an_image_can_make_dear_is_bounded(make: Callable[[int], Callable[[], object]]) -> None:
    """A list of things, each of which is looked for in another list."""
    check_linear(make, 256)
