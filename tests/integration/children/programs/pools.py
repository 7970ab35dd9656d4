"""What Python programs do with ``multiprocessing``: ``pools.py fork``, ``spawn`` or ``forkserver``."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import shared_memory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.managers import DictProxy, ListProxy
    from multiprocessing.queues import Queue, SimpleQueue
    from multiprocessing.sharedctypes import Synchronized, SynchronizedArray
    from multiprocessing.synchronize import Barrier, Event, Lock

WORKERS = 3


def square(number: int) -> int:
    return number * number


def divide(numerator: int, denominator: int) -> float:
    return numerator / denominator


def end(how: str) -> None:
    match how:
        case "exit":
            sys.exit(7)
        case "at once":
            os._exit(8)
        case "exception":
            os.close(2)
            raise ValueError(how)
        case "signal":
            os.kill(os.getpid(), signal.SIGTERM)
        case "sleep":
            time.sleep(100)
        case _:
            pass


def produce(queue: Queue[tuple[str, int, str] | None], count: int) -> None:
    for number in range(count):
        queue.put(("item", number, "x" * 1000))
    queue.put(None)


def add(value: Synchronized[int], array: SynchronizedArray[int], lock: Lock, times: int) -> None:
    for _ in range(times):
        with value.get_lock():
            value.value += 1
        with lock:
            array[0] += 2


def stamp(name: str, place: int) -> None:
    memory = shared_memory.SharedMemory(name=name)
    assert memory.buf is not None
    memory.buf[place] = place + 1
    memory.close()


def answer(connection: Connection) -> None:
    while (word := connection.recv()) is not None:
        connection.send(word.upper())
    connection.close()


def meet(barrier: Barrier, event: Event, queue: SimpleQueue[bool]) -> None:
    barrier.wait(60)
    queue.put(event.wait(60))


def fill(table: DictProxy[int, int], items: ListProxy[int], key: int) -> None:
    table[key] = key * 10
    items.append(key)


def main(method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    processes = [
        context.Process(target=end, args=(how,))
        for how in ("exit", "at once", "exception", "signal", "sleep", "")
    ]
    for process in processes:
        process.start()
    processes[4].kill()
    for process in processes:
        process.join()
    print("exit codes", [process.exitcode for process in processes])

    with context.Pool(WORKERS) as pool:
        print("map", sum(pool.map(square, range(1000))))
        print("unordered", sorted(pool.imap_unordered(square, range(20), 3)))
        print("starmap", pool.starmap(divide, [(1, 2), (3, 4)]))
        try:
            pool.apply(divide, (1, 0))
        except ZeroDivisionError as error:
            print("error", error)
        late = pool.apply_async(time.sleep, (100,))
        try:
            late.get(0.05)
        except multiprocessing.TimeoutError:
            print("late")

    queue = context.Queue(10)
    producer = context.Process(target=produce, args=(queue, 200))
    producer.start()
    print("queue", sum(len(item[2]) + item[1] for item in iter(queue.get, None)))
    producer.join()

    value, array, lock = context.Value("i", 0), context.Array("l", 3), context.Lock()
    processes = [context.Process(target=add, args=(value, array, lock, 100)) for _ in range(WORKERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print("shared", value.value, array[:])

    memory = shared_memory.SharedMemory(create=True, size=10_000)
    processes = [context.Process(target=stamp, args=(memory.name, place)) for place in range(WORKERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert memory.buf is not None
    print("memory", bytes(memory.buf[: WORKERS + 1]))
    memory.close()
    memory.unlink()

    ours, theirs = context.Pipe()
    process = context.Process(target=answer, args=(theirs,), daemon=True)
    process.start()
    for word in ("a", "word" * 50_000):
        ours.send(word)
        print("pipe", len(ours.recv()))
    ours.send(None)
    process.join()

    barrier, event, answers = context.Barrier(WORKERS + 1), context.Event(), context.SimpleQueue()
    processes = [context.Process(target=meet, args=(barrier, event, answers)) for _ in range(WORKERS)]
    for process in processes:
        process.start()
    barrier.wait(60)
    event.set()
    print("met", [answers.get() for _ in processes])
    for process in processes:
        process.join()

    with context.Manager() as manager:
        table, items = manager.dict(), manager.list()
        processes = [context.Process(target=fill, args=(table, items, key)) for key in range(WORKERS)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        print("manager", sorted(table.items()), sorted(items))

    with ProcessPoolExecutor(WORKERS, mp_context=context) as executor:
        print("executor", list(executor.map(square, range(10))))
        try:
            executor.submit(os._exit, 1).result()
        except BrokenProcessPool:
            print("broken")
    print("left", multiprocessing.active_children())


if __name__ == "__main__":
    main(sys.argv[1])
