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


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("--user=1000", "the image and its build decide"),
        ("-w", "the image and its build decide"),
        ("--entrypoint", "the image and its build decide"),
        ("-d", "docker run --runtime rune"),
        ("--gpus", "enclavize run --help"),
    ],
)
def test_options_of_docker_run_that_there_are_not(option: str, hint: str) -> None:
    with pytest.raises(UsageError, match="unrecognized arguments: ") as caught:
        run([option, "image"])
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize("words", [["--progress", "loud", "dir:."], ["dir:."]])
def test_a_way_to_show_progress_that_is_not_known(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCLAVIZE_PROGRESS", "loud")
    with pytest.raises(UsageError, match="'loud': there is auto, tty"):
        run(words)
