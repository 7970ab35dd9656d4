"""Commands from outside with a terminal of the engine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support.terminal import INTERRUPT, QUIT, SUSPEND, Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.commands import Container, Trees

pytestmark = pytest.mark.integration


@pytest.fixture
def open_terminal(run: Callable[..., Container], trees: Trees) -> Iterator[Callable[..., Terminal]]:
    container = run(trees.open)
    made = []

    def start(*words: str) -> Terminal:
        made.append(Terminal(container.command("--tty", *words)))
        return made[-1]

    yield start
    for terminal in made:
        terminal.close()


def test_the_size_of_the_window_and_its_changes(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal("/probe", "size")
    terminal.read_until(b"size ")
    terminal.resize(40, 100)
    terminal.read_until(b"size 40 100\n")
    terminal.resize(41, 101)
    terminal.read_until(b"size 41 101\n")
    terminal.type(SUSPEND)  # nobody could continue it: as natively, it is not stopped
    terminal.resize(42, 102)
    terminal.read_until(b"size 42 102\n")
    terminal.type(INTERRUPT)
    assert terminal.wait() == 128 + 2


def test_keys_are_for_the_group_in_the_foreground(open_terminal: Callable[..., Terminal]) -> None:
    """The command itself would be ended by them."""
    terminal = open_terminal("/probe", "foreground")
    terminal.read_until(b"foreground\n", b"ready\n")
    terminal.type(INTERRUPT)
    terminal.read_until(b"signal 2\n")
    terminal.type(QUIT)
    terminal.read_until(b"signal 3\n")
    terminal.type(SUSPEND)
    terminal.read_until(b"signal 20\n")
    os.kill(terminal.pid, 15)  # by runc to the command, not to the group
    assert terminal.wait() == 128 + 15


def test_the_controlling_terminal_is_the_engines(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal("/probe", "tty")
    terminal.read_until(b"terminal\n")
    assert terminal.wait() == 0


def test_without_a_terminal_there_is_none(run: Callable[..., Container], trees: Trees) -> None:
    assert run(trees.open).exec("/probe", "tty").returncode == 1
