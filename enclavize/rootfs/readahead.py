"""Let an iterator work in a thread of its own, a few items ahead."""

from __future__ import annotations

import threading
from contextlib import closing
from queue import Empty, Queue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

T = TypeVar("T")

_DRAIN_INTERVAL = 0.05


class _End:
    """The last thing in the queue: why the iterator ended."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def read_ahead(items: Generator[T, None, None], depth: int) -> Generator[T, None, None]:
    """Yield ``items``, up to ``depth`` of which are made before they are asked for.

    Its errors are raised here. When this iterator is closed, the thread has ended and ``items`` is closed.
    """
    queue: Queue[T | _End] = Queue(maxsize=depth)
    stopped = threading.Event()

    def work() -> None:
        error = None
        try:
            with closing(items):
                for item in items:
                    queue.put(item)
                    if stopped.is_set():
                        break
        except BaseException as caught:  # noqa: BLE001 - raised again in the other thread
            error = caught
        queue.put(_End(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while not isinstance(item := queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        while thread.is_alive():
            try:
                queue.get(timeout=_DRAIN_INTERVAL)
            except Empty:
                continue
        thread.join()
