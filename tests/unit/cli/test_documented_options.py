"""Documents name options that there are."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from enclavize.cli.app import app_for
from enclavize.cli.run import _parser

ROOT = Path(__file__).parents[3]
DOCUMENTS = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "samples").glob("*.sh")),
)

COMMAND = re.compile(r"\benclavize ([a-z-]+)([^`\n#;)]*)")
OPTION = re.compile(r"--[a-z][a-z-]*")


@functools.cache
def command_line() -> Any:
    """Return the whole command line, which takes a while to load."""
    return typer.main.get_command(app_for([]))


def options_of(words: list[str]) -> set[str]:
    """Return the options of the command that a line begins with; none for what is no command."""
    if words[0] == "run":
        return {name for action in _parser()._actions for name in action.option_strings}
    command = command_line()
    for word in words:
        if word not in (commands := getattr(command, "commands", {})):
            break
        command = commands[word]
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_all_options_in_examples_are_there(document: Path) -> None:
    text = document.read_text().replace("\\\n", " ")
    for name, rest in COMMAND.findall(text):
        words = [name, *rest.split()]
        own = words[: words.index("--")] if "--" in words else words
        named = {found[0] for word in own if (found := OPTION.match(word.strip("[\"'")))}
        assert named <= {*options_of(words), "--help"}, " ".join(words)
