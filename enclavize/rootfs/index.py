"""Second stage of a build: from an image to its merged tree. Every layer is read at most once, ever.

What was found in a layer is kept below the blob cache, in ``index/<hex of its digest>-<format version>``.
Builds that need the same layer at the same time wait for the one that reads it. One that is killed loses its
lock, and leaves a file with another name, which the next one removes.
"""

from __future__ import annotations

import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import IntegrityError, InvalidImageError
from enclavize.lock import locked
from enclavize.oci.cache import touch
from enclavize.oci.digest import hex_of, short
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.pruning import INDEXES
from enclavize.oci.storage import storage_errors
from enclavize.oci.stream import CHUNK_SIZE
from enclavize.rootfs.allocator import return_large_buffers
from enclavize.rootfs.contents import read_contents
from enclavize.rootfs.indexfile import (
    FORMAT_VERSION,
    DamagedIndexError,
    finish_index,
    read_index,
    start_index,
)
from enclavize.rootfs.layer import scan_layer, size_limit
from enclavize.rootfs.layer_file import layer_copy
from enclavize.rootfs.merge import merge_layers
from enclavize.rootfs.native_merge import merge_natively
from enclavize.rootfs.rows import RowWriter
from enclavize.rootfs.shared_progress import SharedProgress
from enclavize.rootfs.tree import Rootfs
from enclavize.rootfs.verity import tree_size

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.image import Image
    from enclavize.progress import Reporter, Task
    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.indexfile import LayerIndex

MAX_PARALLEL_LAYERS = 4
"""Each takes about 12 MiB of memory and three threads."""


class _CancelledError(Exception):
    """Another layer failed, or the user gave up."""

    def __str__(self) -> str:
        return "cancelled"


def index_image(
    image: Image,
    *,
    cache: BlobCache,
    reporter: Reporter,
    refresh: bool = False,
    hashed: Collection[int] = (),
    keep_layers: bool = False,
    on_layer: Callable[[int], object] = lambda _number: None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Rootfs:
    """Return the merged tree of an image. Layers are read, verified and indexed where they are not known yet.

    ``refresh`` reads them in any case. ``hashed`` are the numbers of layers whose blobs are verified also
    where their index is known, if they are on this machine: others are verified by whoever fetches them.
    ``keep_layers``: those that are read are kept as uncompressed archives (layer_file.py).
    ``on_layer`` is told the number of each layer once its bytes are on their way, or need not be read.
    ``meanwhile`` is called while threads read layers, and awaited.
    Raises IntegrityError, InvalidImageError, RegistryError.
    """
    diff_ids = image.config.diff_ids
    if len(diff_ids) != len(image.layers):
        raise InvalidImageError(
            f"{image.name} has {len(image.layers)} layers, but its configuration lists {len(diff_ids)}"
        )
    return_large_buffers()
    cancelled = threading.Event()

    def index(number: int) -> LayerIndex:
        if cancelled.is_set():
            raise _CancelledError
        try:
            indexer = _LayerIndexer(image, number, cache, cancelled, keep=keep_layers)
            return indexer.index(
                reporter, refresh=refresh, hashed=number in hashed, begun=lambda: on_layer(number)
            )
        except BaseException:
            cancelled.set()
            raise

    workers = max(1, min(len(diff_ids), os.cpu_count() or 1, MAX_PARALLEL_LAYERS))
    largest_first = sorted(range(len(diff_ids)), key=lambda number: -image.layers[number].size)
    with ThreadPoolExecutor(workers, thread_name_prefix="index") as pool:
        futures = {number: pool.submit(index, number) for number in largest_first}
        try:
            meanwhile()
            errors = [futures[number].exception() for number in range(len(diff_ids))]
        except BaseException:
            cancelled.set()
            image.source.close()  # or a thread would wait for the next bytes
            pool.shutdown(cancel_futures=True)
            raise
    for error in errors:
        if error is not None and not isinstance(error, _CancelledError):
            raise error
    indexes = [futures[number].result() for number in range(len(diff_ids))]
    with reporter.task("merge layers"):
        records = [layer.records for layer in indexes]
        entries = merge_natively(records)
        return Rootfs(
            merge_layers(records, [_name(layer) for layer in image.layers]) if entries is None else entries,
            merkle_reader=lambda entry: _merkle(indexes[entry.layer], entry),
            content_reader=lambda wanted: read_contents(image, wanted, cache=cache, reporter=reporter),
        )


def _name(layer: Descriptor) -> str:
    return f"layer {short(layer.digest)}"


def _merkle(index: LayerIndex, entry: Entry) -> bytes:
    try:
        return index.merkle(entry.merkle_offset, tree_size(entry.size))
    except (DamagedIndexError, OSError) as error:
        raise IntegrityError(
            f"the index {index.path} vanished or was damaged", hint="run the same command again"
        ) from error


class _LayerIndexer:
    """Finds the index of one layer, or makes it."""

    def __init__(
        self, image: Image, number: int, cache: BlobCache, cancelled: threading.Event, *, keep: bool
    ) -> None:
        self._image = image
        self._number = number
        self._cache = cache
        self._cancelled = cancelled
        self._keep = keep
        self._layer = image.layers[number]
        self._diff_id = image.config.diff_ids[number]
        self._hex = hex_of(self._layer.digest)
        self._folder = cache.folder(INDEXES)
        self._path = self._folder / f"{self._hex}-{FORMAT_VERSION}"

    def index(
        self, reporter: Reporter, *, refresh: bool, hashed: bool, begun: Callable[[], object]
    ) -> LayerIndex:
        with reporter.task(f"index {_name(self._layer)}", total=self._layer.size) as task:
            if not refresh and not self._abandoned() and (known := self._known()) is not None:
                begun()
                self._use_known(task, hashed=hashed)
                return known
            with storage_errors("write", self._folder):
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = self._folder / f"{self._hex}.lock"
            progress = SharedProgress(lock)
            with locked(lock, while_waiting=lambda: self._wait(progress, task)):
                task.advance(-task.current)
                for stale in self._abandoned():
                    stale.unlink(missing_ok=True)
                if not refresh and (known := self._known()) is not None:
                    begun()
                    self._use_known(task, hashed=hashed)
                    return known
                return self._make(task, progress, begun)

    def _use_known(self, task: Task, *, hashed: bool) -> None:
        is_here = not self._image.source.remote or self._cache.has(self._layer.digest)
        if not hashed or not is_here:
            task.mark_cached()
            return
        with fetch_blob(self._image, self._layer, self._cache, task) as blob:
            stream = _Watched(blob, self._cancelled)
            while stream.read(CHUNK_SIZE):
                pass

    def _abandoned(self) -> list[Path]:
        """Return the temporary files of this layer: under the lock, nobody writes them any more."""
        return list(self._folder.glob(f".{self._hex}-*"))

    def _known(self) -> LayerIndex | None:
        """Return the stored index; None if there is none that is whole and belongs to the diff id."""
        with storage_errors("read", self._path), suppress(FileNotFoundError, DamagedIndexError):
            index = read_index(self._path, self._number)
            if index.diff_id == self._diff_id:
                touch(self._path)
                return index
        return None

    def _wait(self, progress: SharedProgress, task: Task) -> None:
        if self._cancelled.is_set():
            raise _CancelledError
        progress.show(task)

    def _make(self, task: Task, progress: SharedProgress, begun: Callable[[], object]) -> LayerIndex:
        with (
            fetch_blob(self._image, self._layer, self._cache, task) as blob,
            storage_errors("write", self._path),
            self._replaced_file() as file,
            layer_copy(self._diff_id, self._cache) if self._keep else nullcontext() as copy,
            closing(RowWriter(self._cache.spool)) as records,
        ):
            begun()
            progress.begin()
            start_index(file)
            merkle_size = scan_layer(
                _Watched(blob, self._cancelled, progress),
                what=_name(self._layer),
                number=self._number,
                diff_id=self._diff_id,
                limit=size_limit(self._image.stored_size(self._layer)),
                records=records,
                merkle=file,
                copy=copy,
            )
            return finish_index(
                file,
                records,
                merkle_size=merkle_size,
                diff_id=self._diff_id,
                path=self._path,
                number=self._number,
            )

    @contextmanager
    def _replaced_file(self) -> Iterator[BinaryIO]:
        """Open a file for reading and writing that becomes the index if the block ends well."""
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=f".{self._hex}-")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                yield file
            temporary.replace(self._path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


class _Watched:
    """A stream that ends with an error when nobody wants its bytes any more, and tells how far it is."""

    def __init__(
        self, stream: BinaryIO, cancelled: threading.Event, progress: SharedProgress | None = None
    ) -> None:
        self._stream = stream
        self._cancelled = cancelled
        self._progress = progress

    def read(self, size: int, /) -> bytes:
        if self._cancelled.is_set():
            raise _CancelledError
        data = self._stream.read(size)
        if self._progress:
            self._progress.advance(len(data))
        return data
