"""The count of connections: it is kept, and the right one gives way."""

from __future__ import annotations

import resource
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclavize.errors import UsageError
from enclavize.signing.service.connections import (
    REFUSABLE,
    RESERVE,
    Connection,
    Connections,
    Listener,
    State,
    group_of,
    reserve_descriptors,
)
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator

MAXIMUM = 4


class Fake(Connection):
    """A connection without a socket, whose descriptor is a number of our choice."""

    def __init__(self, number: int, connections: Connections) -> None:
        super().__init__()
        super().detach()
        self.number = number
        self.connections = connections

    def fileno(self) -> int:
        return self.number

    def cut(self) -> None:
        """The table knows that this one leaves."""


def fake(number: int, connections: Connections) -> Fake:
    return Fake(number, connections)


def test_the_one_that_waits_longest_gives_way_to_a_new_one() -> None:
    connections = Connections(MAXIMUM)
    made = [fake(number, connections) for number in range(MAXIMUM + 3)]
    for connection in made[:MAXIMUM]:
        assert connections.add(connection, "192.0.2.1")
    connections.move(made[0], State.BUSY)
    assert connections.add(made[MAXIMUM], "192.0.2.1")
    assert [connection.state for connection in made[:3]] == [State.BUSY, State.LEAVING, State.WAITING]
    connections.move(made[0], State.WAITING)  # it was answered just now
    connections.add(made[MAXIMUM + 1], "192.0.2.1")
    connections.add(made[MAXIMUM + 2], "192.0.2.1")
    assert [made.index(item) for item in made if item.state is State.LEAVING] == [1, 2, 3]
    assert not connections.are_too_many


def test_an_address_with_many_connections_closes_its_own() -> None:
    connections = Connections(MAXIMUM)
    honest = fake(0, connections)
    connections.add(honest, "192.0.2.1")
    flood = [fake(number, connections) for number in range(1, 100)]
    for connection in flood:
        assert connections.add(connection, "198.51.100.7")
        if connection.number > MAXIMUM:
            connections.forget(flood[connection.number - MAXIMUM - 1])
    assert honest.state is State.WAITING


def test_while_all_are_busy_a_few_more_are_let_in_to_be_told_so() -> None:
    connections = Connections(MAXIMUM)
    for number in range(MAXIMUM):
        connection = fake(number, connections)
        connections.add(connection, "192.0.2.1")
        connections.move(connection, State.BUSY)
    extra = [fake(100 + number, connections) for number in range(REFUSABLE)]
    told = [connections.are_too_many, connections.add(extra[0], "192.0.2.2"), connections.are_too_many]
    assert told == [False, True, True]
    connections.move(extra[0], State.BUSY)
    for connection in extra[1:]:
        assert connections.add(connection, "192.0.2.2")
        connections.move(connection, State.BUSY)
    assert not connections.add(fake(200, connections), "192.0.2.3")
    assert not connections.must_wait
    connections.forget(extra[0])
    assert connections.add(fake(201, connections), "192.0.2.3")


@settings(max_examples=scaled(2000, least=50), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30), st.integers(0, 3)), max_size=200))
def test_the_count_is_kept_and_nobody_busy_is_ended(steps: list[tuple[int, int, int]]) -> None:
    connections = Connections(MAXIMUM)
    alive: dict[int, Fake] = {}
    busy: set[int] = set()
    for action, number, address in steps:
        match action:
            case 0 | 1 | 2 if number not in alive and not connections.must_wait:
                connection = fake(number, connections)
                if connections.add(connection, f"192.0.2.{address}"):
                    alive[number] = connection
            case 3 | 4 if number in alive and alive[number].state is not State.LEAVING:
                connections.move(alive[number], State.BUSY if action == 3 else State.WAITING)
                (busy.add if action == 3 else busy.discard)(number)
            case 5 if number in alive:
                connections.forget(alive.pop(number))
                busy.discard(number)
            case _:
                continue
        assert len(alive) <= MAXIMUM + REFUSABLE + 1
        assert all(alive[number].state is State.BUSY for number in busy)
        staying = [connection for connection in alive.values() if connection.state is not State.LEAVING]
        assert connections.are_too_many == (len(staying) > MAXIMUM)
        assert len(staying) <= max(MAXIMUM, len(busy) + 1, MAXIMUM + REFUSABLE)
        assert all(connections.of(number) is connection for number, connection in alive.items())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%1", "fe80::2%1", True),
    ],
)
def test_which_addresses_count_as_one(one: str, other: str, same: bool) -> None:
    assert (group_of(one) == group_of(other)) is same


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as made:
        made.connections = Connections(2)
        made.bind(("127.0.0.1", 0))
        made.listen()
        made.setblocking(False)
        yield made


def test_accepted_sockets_are_counted_until_they_are_closed(listener: Listener) -> None:
    with pytest.raises(BlockingIOError):
        listener.accept()
    clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
    accepted = [listener.accept()[0] for _ in clients]
    assert accepted[0].proto == socket.IPPROTO_TCP  # or asyncio would not set TCP_NODELAY
    assert accepted[0].recv(1) == b""  # it gave way to the third
    assert clients[0].recv(1) == b""
    assert listener.connections.of(accepted[0].fileno()) is accepted[0]
    descriptor = accepted[0].fileno()
    for connection in (*accepted, *clients):
        connection.close()
    with pytest.raises(KeyError):
        listener.connections.of(descriptor)


def test_descriptors_of_the_ended_are_waited_for(listener: Listener) -> None:
    address = listener.getsockname()
    clients = [socket.create_connection(address) for _ in range(2 + REFUSABLE + 1)]
    accepted = [listener.accept()[0] for _ in range(2 + REFUSABLE)]
    with pytest.raises(BlockingIOError):
        listener.accept()
    accepted[0].close()
    accepted.append(listener.accept()[0])
    for connection in (*accepted, *clients):
        connection.close()


def test_without_descriptors_somebody_gives_way(listener: Listener) -> None:
    clients = [socket.create_connection(listener.getsockname()) for _ in range(2)]
    with closing(listener.accept()[0]) as accepted:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (accepted.fileno(), limits[1]))
        try:
            with pytest.raises(BlockingIOError):
                listener.accept()
            with pytest.raises(OSError, match="Too many open files"):
                listener.accept()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert accepted.recv(1) == b""
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    ("soft", "hard", "becomes"),
    [
        (1024, 4096, 1024),
        (100, 4096, 256 + REFUSABLE + RESERVE),
        (100, resource.RLIM_INFINITY, 256 + REFUSABLE + RESERVE),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
        (100, 300, None),
    ],
)
def test_descriptors_for_all_connections_are_there_or_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, becomes: int | None
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr("resource.getrlimit", lambda _which: limits[-1])
    monkeypatch.setattr("resource.setrlimit", lambda _which, values: limits.append(values))
    if becomes is None:
        with pytest.raises(UsageError, match="max_connections = 256 needs 336 file descriptors; 300 are"):
            reserve_descriptors(256)
    else:
        reserve_descriptors(256)
        assert limits[-1] == (becomes, hard)
