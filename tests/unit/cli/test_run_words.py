"""What ``enclavize run`` says of words that it cannot take."""

from __future__ import annotations

import pytest

from enclavize.cli.run import run
from enclavize.errors import UsageError


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            ["--simulate=full", "image"],
            "--simulate has no value 'full'",
            "there is --simulate, --simulate=strict, --simulate=step",
        ),
        (["--rm=yes", "image"], "--rm takes no value, 'yes' was given", "there is --rm"),
        (["-i=yes", "image"], "--interactive takes no value, 'yes' was given", "there is --interactive"),
    ],
)
def test_a_value_of_an_option_that_takes_none(words: list[str], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        run(words)
    assert (str(caught.value), caught.value.hint) == (message, hint)


@pytest.mark.parametrize("words", [["--progress", "loud", "dir:."], ["dir:."]])
def test_a_way_to_show_progress_that_is_not_known(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCLAVIZE_PROGRESS", "loud")
    with pytest.raises(UsageError, match="'loud': there is auto, tty"):
        run(words)
