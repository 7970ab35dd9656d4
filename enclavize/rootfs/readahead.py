"""Let an iterator work in a thread of its own, a few items ahead."""

from __future__ import annotations

import threading
from contextlib import closing
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

T = TypeVar("T")


class _End:
    """The last thing in the queue: why the iterator ended."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def read_ahead(items: Generator[T, None, None], depth: int) -> Generator[T, None, None]:
    """Yield ``items``, up to ``depth`` of which are made before they are asked for.

    Its errors are raised here. When this iterator is closed, the thread has ended and ``items`` is closed.
    """
    made: SimpleQueue[T | _End] = SimpleQueue()
    room: SimpleQueue[None] = SimpleQueue()
    """One thing for each item that may be made; two queues in C cost less than one with a bound in Python."""
    for _ in range(depth):
        room.put(None)
    stopped = threading.Event()

    def work() -> None:
        error = None
        try:
            with closing(items):
                for item in items:
                    room.get()
                    if stopped.is_set():
                        break
                    made.put(item)
        except BaseException as caught:  # noqa: BLE001 - raised again in the other thread
            error = caught
        made.put(_End(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while not isinstance(item := made.get(), _End):
            room.put(None)
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        room.put(None)
        thread.join()
