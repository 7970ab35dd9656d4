"""The OCI image layout, in a folder or in a tar archive (image-spec, image-layout.md)."""

from __future__ import annotations

import fcntl
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from enclavize.errors import EnclavizeError, InvalidImageError, MissingBlobError, UsageError
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import algorithm_of, hex_of
from enclavize.oci.document import canonical_json, parse_document
from enclavize.oci.image import spelling
from enclavize.oci.limits import MAX_MANIFEST_SIZE
from enclavize.oci.local_source import LocalSource
from enclavize.oci.manifest import MANIFEST_SHAPE, Index, parse_manifest
from enclavize.oci.media_types import OCI_INDEX
from enclavize.oci.reference import parse_reference
from enclavize.oci.select import ambiguities_of, choose, image_at
from enclavize.oci.shape import Shape
from enclavize.oci.signature_tag import signature_tag
from enclavize.oci.storage import atomic_file, storage_errors
from enclavize.oci.stream import CHUNK_SIZE, blob_name, read_verified, verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from enclavize.oci.digest import Digest
    from enclavize.oci.image import Image
    from enclavize.oci.image_signature import ImageSignature
    from enclavize.oci.platform import Platform
    from enclavize.oci.target import ImageToWrite
    from enclavize.progress import Reporter

LAYOUT_FILE = "oci-layout"
INDEX_FILE = "index.json"
LAYOUT_SHAPE = Shape(names="imageLayoutVersion")
LAYOUT_BYTES = b'{"imageLayoutVersion":"1.0.0"}'

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation of an index entry that holds its tag (image-spec, annotations.md)."""

CONTAINERD_NAME = "io.containerd.image.name"
"""The annotation from which ``ctr images import`` and docker take the whole name."""


class Files(Protocol):
    """The files of a layout, wherever they are."""

    name: str

    def open(self, path: str) -> BinaryIO:
        """Open a file. Raises FileNotFoundError."""
        ...

    def close(self) -> None:
        """Release what is open."""
        ...


class FolderFiles:
    """A layout in a folder."""

    def __init__(self, root: Path) -> None:
        self.name = str(root)
        self.root = root

    def open(self, path: str) -> BinaryIO:
        """Open a regular file. Raises FileNotFoundError."""
        full = self.root / path
        with storage_errors("read", full):
            try:
                if not stat.S_ISREG(full.stat().st_mode):
                    raise InvalidImageError(f"{full} is not a regular file")
                return full.open("rb")
            except (FileNotFoundError, NotADirectoryError):
                pass
        raise FileNotFoundError(path)

    def close(self) -> None:
        """Nothing is open."""


class LayoutSource(LocalSource):
    """The blobs of a layout."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def read_manifest(self, descriptor: Descriptor) -> bytes:
        """Read a manifest."""
        if not descriptor.size:
            data = read_small(self._files, blob_path(descriptor.digest), MAX_MANIFEST_SIZE)
            descriptor = replace(descriptor, size=len(data))
        return read_verified(self.open_blob(descriptor), descriptor, f"{self._files.name}, manifest")

    def find_signatures(self, signed: Digest) -> Iterator[tuple[str, ImageSignature]]:
        """Yield the signatures of a manifest."""
        from enclavize.oci.layout_signatures import find_layout_signatures

        return find_layout_signatures(self._files, signed)

    def add_signatures(self, subject: Descriptor, signatures: Iterable[ImageSignature]) -> None:
        """Add signatures of a manifest. Raises UsageError for an archive."""
        from enclavize.oci.layout_signatures import add_layout_signatures

        if not isinstance(self._files, FolderFiles):
            raise UsageError(
                f"{self._files.name} is an archive, which is not changed",
                hint="sign the image in a registry, or in a folder: oci:DIR",
            )
        with storage_errors("write", self._files.root):
            add_layout_signatures(self._files.root, subject.digest, signatures)

    def close(self) -> None:
        """Close an archive."""
        self._files.close()

    def _find(self, digest: Digest) -> tuple[BinaryIO, str]:
        try:
            stream = self._files.open(blob_path(digest))
        except FileNotFoundError as error:
            raise MissingBlobError(f"{self._files.name} has no blob {digest}") from error
        return stream, f"{self._files.name}, {blob_name(digest)}"


def blob_path(digest: Digest) -> str:
    """Return the path of a blob in a layout."""
    return f"blobs/{algorithm_of(digest)}/{hex_of(digest)}"


def read_small(files: Files, path: str, limit: int) -> bytes:
    """Read a file of at most ``limit`` bytes. Raises InvalidImageError."""
    try:
        with files.open(path) as stream:
            data = stream.read(limit + 1)
    except FileNotFoundError as error:
        raise InvalidImageError(f"{files.name} has no {path}") from error
    if len(data) > limit:
        raise InvalidImageError(f"{files.name}: {path} is larger than {limit} bytes")
    return data


def image_from_layout(name: str, files: Files, tag: str | None, platform: Platform) -> Image:
    """Find an image in a layout. Raises InvalidImageError, IntegrityError."""
    version = parse_document(
        read_small(files, LAYOUT_FILE, 4096), f"{files.name}: {LAYOUT_FILE}", LAYOUT_SHAPE
    )
    if not version.text("imageLayoutVersion").startswith("1."):
        raise InvalidImageError(f"{files.name} is an OCI layout of an unknown version")
    index = read_index(files)
    descriptor, ambiguities = _choose_entry(index, tag, platform, files.name)
    image = image_at(name, descriptor, LayoutSource(files), platform)
    misspelled = spelling((*version.misspelled, *index.misspelled), files.name)
    return replace(image, ambiguities=(*misspelled, *ambiguities, *image.ambiguities))


def read_index(files: Files) -> Index:
    """Read index.json. Raises InvalidImageError."""
    index = parse_manifest(read_small(files, INDEX_FILE, MAX_MANIFEST_SIZE), f"{files.name}: {INDEX_FILE}")
    if not isinstance(index, Index):
        raise InvalidImageError(f"{files.name}: {INDEX_FILE} is not an image index")
    return index


def without_signatures(index: Index) -> tuple[Descriptor, ...]:
    """Return the entries but for signatures of others, whose tag is made of the digest that they sign."""
    signatures = {signature_tag(entry.digest) for entry in index.manifests}
    return tuple(entry for entry in index.manifests if entry.annotations.get(REF_NAME) not in signatures)


def _choose_entry(
    index: Index, tag: str | None, platform: Platform, name: str
) -> tuple[Descriptor, tuple[str, ...]]:
    """Return the entry with the tag; without a tag there must be one image, for one or more platforms.

    Returns ambiguities too, as in ``Image``.
    """
    entries = (
        [entry for entry in index.manifests if has_name(entry, tag)] if tag else without_signatures(index)
    )
    if len({entry.digest for entry in entries}) == 1:
        return entries[0], ()
    if entries and all(entry.platform and not names_of(entry) for entry in entries):
        platforms = replace(index, manifests=tuple(entries))
        chosen = choose(platforms, platform, name)
        return chosen, tuple(ambiguities_of(platforms, chosen, INDEX_FILE))
    tags = sorted({entry.annotations[REF_NAME] for entry in index.manifests if REF_NAME in entry.annotations})
    hint = f"it has the tags: {', '.join(tags)}" if tags else "it has no tags"
    if tag is not None and not entries:
        raise InvalidImageError(f"{name} has no image with the tag {tag}", hint=hint)
    raise InvalidImageError(f"{name} has {len(entries)} images to choose from", hint=hint)


def names_of(entry: Descriptor) -> set[str]:
    """Return the names of an entry of index.json, as they stand there."""
    return {entry.annotations[key] for key in (REF_NAME, CONTAINERD_NAME) if key in entry.annotations}


def has_name(entry: Descriptor, tag: str) -> bool:
    """Tell whether any reader finds an entry of index.json by ``tag``, a tag alone or a whole name.

    podman and umoci go by one annotation, containerd by the other, of which the tag is the end.
    """
    return tag in names_of(entry) or entry.annotations.get(CONTAINERD_NAME, "").endswith(f":{tag}")


def named_entries(image: ImageToWrite, tag: str | None = None) -> list[dict[str, Any]]:
    """Return the index entries for an image: one for ``tag``, or else one for each of its references."""
    names: list[Mapping[str, str]] = [
        {CONTAINERD_NAME: str(reference), REF_NAME: reference.tag or ""}
        for reference in map(parse_reference, image.references)
    ]
    if tag:
        names = [{REF_NAME: tag}]
    manifest = image.manifest
    return [
        Descriptor(
            media_type=manifest.media_type,
            digest=manifest.digest,
            size=manifest.size,
            annotations=annotations,
        ).to_json()
        for annotations in names or [{}]
    ]


def index_bytes(entries: list[dict[str, Any]]) -> bytes:
    """Return index.json."""
    return canonical_json({**_empty_index(), "manifests": entries})


def _empty_index() -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}


def blobs_of(image: ImageToWrite) -> Iterator[tuple[Descriptor, Callable[[], BinaryIO]]]:
    """Yield every blob of an image once, layers first, with what opens it."""
    import io

    for layer in image.distinct_layers:
        yield layer.descriptor, layer.open
    yield image.config, lambda: io.BytesIO(image.config_bytes)
    yield image.manifest, lambda: io.BytesIO(image.manifest_bytes)


class LayoutTarget:
    """Writes an image into a layout folder, new or old. ``tag`` goes before the image's references."""

    def __init__(self, path: Path, tag: str | None = None) -> None:
        self._path = path
        self._tag = tag

    def deliver(self, image: ImageToWrite, reporter: Reporter) -> Descriptor:
        """Write blobs, then the index. A new folder appears whole; an old one keeps its other images."""
        path = self._path
        with reporter.task(f"write {path}") as task, storage_errors("write", path):
            if path.exists():
                if not (path / LAYOUT_FILE).is_file() and any(path.iterdir()):
                    raise UsageError(f"{path} exists and is not an OCI layout", hint="name another folder")
                self._write(path, image, task.advance)
            else:
                import tempfile

                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:200]}."))
                try:
                    self._write(temporary, image, task.advance)
                    temporary.chmod(0o755)
                    temporary.rename(path)
                except BaseException:
                    shutil.rmtree(temporary, ignore_errors=True)
                    raise
        return image.manifest

    def _write(self, root: Path, image: ImageToWrite, advance: Callable[[int], None]) -> None:
        added: list[Path] = []
        try:
            for descriptor, open_blob in blobs_of(image):
                path = root / blob_path(descriptor.digest)
                if path.is_file() and path.stat().st_size == descriptor.size:
                    advance(descriptor.size)
                    continue
                write_blob(
                    root,
                    descriptor,
                    verified(open_blob(), descriptor, blob_name(descriptor.digest), advance=advance),
                )
                added.append(path)
            if not (root / LAYOUT_FILE).exists():
                with atomic_file(root / LAYOUT_FILE) as output:
                    output.write(LAYOUT_BYTES)
            update_index(root, lambda old: [*named_entries(image, self._tag), *_signatures(root, old, image)])
        except BaseException:
            for path in added:
                path.unlink(missing_ok=True)
            raise


def write_blob(root: Path, descriptor: Descriptor, stream: BinaryIO) -> None:
    """Write a blob from a stream, which is closed."""
    path = root / blob_path(descriptor.digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    with stream, atomic_file(path) as output:
        shutil.copyfileobj(stream, output, CHUNK_SIZE)


def _signatures(root: Path, entries: Sequence[Descriptor], image: ImageToWrite) -> list[dict[str, Any]]:
    from enclavize.oci.layout_signatures import signature_entry

    if not image.signatures:
        return []
    return [signature_entry(root, entries, image.manifest.digest, image.signatures.values())]


def update_index(root: Path, make: Callable[[Sequence[Descriptor]], list[dict[str, Any]]]) -> None:
    """Add entries to index.json, in place of those with the same tag or the same digest without one.

    ``make`` is told the entries that are there, and returns the new ones.
    """
    with (root / LAYOUT_FILE).open("rb") as lock:
        fcntl.flock(
            lock, fcntl.LOCK_EX
        )  # writers of the same layout wait for each other; readers see a rename
        path = root / INDEX_FILE
        old: list[dict[str, Any]] = []
        whole: dict[str, Any] = {}
        parsed: Sequence[Descriptor] = ()
        if path.exists():
            data = read_small(FolderFiles(root), INDEX_FILE, MAX_MANIFEST_SIZE)
            index = parse_manifest(data, str(path))
            if not isinstance(index, Index):
                raise InvalidImageError(f"{path} is not an image index")
            parsed = index.manifests
            whole = dict(parse_document(data, str(path), MANIFEST_SHAPE).members)
            old = [entry for entry in whole["manifests"] if isinstance(entry, dict)]
        entries = make(parsed)
        new_keys = {_entry_key(entry) for entry in entries}
        kept = [entry for entry in old if _entry_key(entry) not in new_keys]
        data = canonical_json({**_empty_index(), **whole, "manifests": kept + entries})
        if len(data) > MAX_MANIFEST_SIZE:
            raise EnclavizeError(f"{path} would become larger than {MAX_MANIFEST_SIZE} bytes")
        with atomic_file(path) as output:
            output.write(data)


def _entry_key(entry: dict[str, Any]) -> str:
    annotations = entry.get("annotations")
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return str(name or entry.get("digest"))
