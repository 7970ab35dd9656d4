"""Open a toolchain by what a user calls it. Nothing in it is executed."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.libos.titles import TITLES
from enclavize.libos.toolchain import gramine, kept, occlum
from enclavize.libos.toolchain.folder import FolderTree
from enclavize.libos.toolchain.located import checked_version
from enclavize.libos.toolchain.model import Toolchain, ToolchainFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from enclavize.libos.toolchain.located import Located
    from enclavize.libos.toolchain.tree import Content, Tree
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.location import Location
    from enclavize.progress import Reporter

MACHINE = Path("/")
"""Where a prefix finds what it takes of the distribution."""

MAX_FILES = 1024
MAX_VERSION_FILE = 1 << 16
"""Bytes."""

_LIBOSES = {"gramine": gramine, "occlum": occlum}


def open_toolchain(
    text: str, *, libos: str | None = None, cache: BlobCache, insecure: bool = False, reporter: Reporter
) -> Toolchain:
    """Open the toolchain that ``text`` names: a kept one, a folder, or an image.

    A kept toolchain comes first; then a folder, which is an install prefix or a whole root file system; all
    else is an image, in any form that ``build`` knows, unless it is one word: mistyped names are not looked
    up in registries. Without ``libos`` it may hold any LibOS, but only one. Raises EnclavizeError.
    """
    if libos is not None and libos not in _LIBOSES:
        raise UsageError(f"the LibOS {libos} needs no toolchain", hint="leave --toolchain out")
    known = kept.find(text)
    if known is not None:
        if libos not in (None, known.libos):
            raise _wrong_libos(text, known.title, libos)
        return known
    if _is_folder(text):
        return _from_trees([FolderTree(Path(text)), FolderTree(MACHINE)], text, libos, reporter)
    from enclavize.oci.location import parse_location

    if not set(text) & set("/:."):
        raise UsageError(
            f"--toolchain {text}: there is neither a kept toolchain nor a folder of that name",
            hint=f"kept: {', '.join(kept.names()) or 'none'}; for an image write docker://{text}",
        )
    return _from_image(parse_location(text), libos, cache=cache, insecure=insecure, reporter=reporter)


def locate_in(root: Path, libos: str, reporter: Reporter) -> tuple[Toolchain | None, list[str]]:
    """Look for an installed LibOS below ``root``; return it, and where it was looked for."""
    tree = FolderTree(root)
    module = _LIBOSES[libos]
    located = module.locate([tree])
    return (_read(located, str(root), reporter) if located else None), module.places(tree)


def _is_folder(text: str) -> bool:
    if text.startswith(("/", "./", "../")) or text in (".", ".."):
        if not Path(text).is_dir():
            raise UsageError(f"--toolchain {text}: there is no such folder")
        return True
    return "\0" not in text and Path(text).is_dir()


def _from_image(
    location: Location, libos: str | None, *, cache: BlobCache, insecure: bool, reporter: Reporter
) -> Toolchain:
    from enclavize.libos.toolchain.image import ImageTree
    from enclavize.oci.resolve import resolve
    from enclavize.rootfs.index import index_image

    image = resolve(location, cache=cache, insecure=insecure, reporter=reporter)
    with closing(image.source):
        rootfs = index_image(image, cache=cache, reporter=reporter)
        return _from_trees([ImageTree(image, rootfs, cache)], image.name, libos, reporter)


def _from_trees(trees: Sequence[Tree], origin: str, libos: str | None, reporter: Reporter) -> Toolchain:
    """Look in ``trees[0]``; the others may lend libraries of the distribution."""
    wanted = [libos] if libos else list(_LIBOSES)
    suitable = _located(trees, wanted)
    if len(suitable) > 1:
        raise UsageError(
            f"{origin} holds {' and '.join(TITLES[other.libos] for other in suitable)}", hint="add --libos"
        )
    if not suitable:
        if libos and (others := _located(trees, _LIBOSES.keys() - {libos})):
            raise _wrong_libos(origin, f"{TITLES[others[0].libos]} {others[0].version}".strip(), libos)
        places = [place for name in wanted for place in _LIBOSES[name].places(trees[0])]
        raise UsageError(
            f"{origin} holds no {' and no '.join(TITLES[name] for name in wanted)}; "
            f"looked for {', '.join(places)}",
            hint="give --toolchain an install prefix, an image with the LibOS, or a kept toolchain",
        )
    return _read(suitable[0], origin, reporter)


def _located(trees: Sequence[Tree], liboses: Iterable[str]) -> list[Located]:
    return [located for name in liboses if (located := _LIBOSES[name].locate(trees))]


def _wrong_libos(origin: str, title: str, libos: str) -> UsageError:
    return UsageError(
        f"the toolchain {origin} holds {title}, not {TITLES[libos]}", hint="change --libos or --toolchain"
    )


def _read(located: Located, origin: str, reporter: Reporter) -> Toolchain:
    if len(located.files) > MAX_FILES:
        raise UsageError(f"{origin} has more than {MAX_FILES} files for {TITLES[located.libos]}")
    places = [*located.files.values(), *located.version_files]
    contents: dict[tuple[str, str], Content] = {}
    for tree in {id(tree): tree for tree, _ in places}.values():
        wanted = {found.path: found for owner, found in places if owner is tree}
        read = tree.contents(list(wanted.values()), reporter)
        contents |= {(tree.name, path): content for path, content in read.items()}
    files = {}
    for path, (tree, found) in sorted(located.files.items()):
        content = contents[tree.name, found.path]
        files[path] = ToolchainFile(
            path=path,
            mode=0o755 if found.mode & 0o111 else 0o644,
            size=found.size,
            sha256=content.sha256,
            open=content.open,
            link_target=located.links.get(path, ""),
        )
    with ExitStack() as stack:
        texts = [
            stack.enter_context(contents[tree.name, found.path].open())
            .read(MAX_VERSION_FILE)
            .decode("utf-8", "replace")
            for tree, found in located.version_files
        ]
    return Toolchain(
        libos=located.libos,
        version=_version(located, texts, origin),
        origin=origin,
        files=files,
        missing=tuple(sorted(set(located.missing) - files.keys())),
        searched={folder: tuple(places) for folder, places in located.searched.items()},
    )


def _version(located: Located, texts: Sequence[str], origin: str) -> str:
    for text in filter(None, [located.version, *map(located.read_version, texts)]):
        return checked_version(text, origin)
    places = ", ".join(located.version_places) or "no file says it"
    raise UsageError(
        f"cannot tell which version of {TITLES[located.libos]} {origin} holds; looked at {places}",
        hint="give the whole installation, with its Python package or pkg-config files"
        if located.libos == "gramine"
        else "keep the names that Occlum installs, such as libocclum-libos.so.0.29.7",
    )
