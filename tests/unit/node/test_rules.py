"""Rules of a node: what they match, and what they may say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError, UsageError
from enclavize.node.rules import Subject, load_rules, rule_for

if TYPE_CHECKING:
    from pathlib import Path

APP = "registry.example/team/app"


def _write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("pattern", "image", "taken"),
    [
        (APP, f"{APP}:1", True),
        (f"{APP}:1", f"{APP}:1", True),
        (f"{APP}:1", f"{APP}:2", False),
        (f"{APP}:1", f"{APP}:1@sha256:{'a' * 64}", True),
        (f"{APP}@sha256:{'a' * 64}", f"{APP}:1@sha256:{'a' * 64}", True),
        (f"{APP}@sha256:{'a' * 64}", f"{APP}:1", False),
        ("registry.example/*", f"{APP}:1", True),
        ("registry.example/team/*", "registry.example/teams/app:1", False),
        ("registry.example/team/*", "registry.example/team:1", False),
        (APP, f"{APP}lication:1", False),
        ("docker.io/library/redis", "redis:7", True),
        ("docker.io/*", "redis:7", True),
        (APP, "sha256:" + "a" * 64, False),
        (APP, "", False),
    ],
)
def test_names(tmp_path: Path, pattern: str, image: str, taken: bool) -> None:
    rules = load_rules(_write(tmp_path, a=f'[match]\nimage = ["{pattern}"]\n'))
    assert rules[0].takes(Subject(image=image)) == taken


def test_the_first_rule_that_takes_an_image_decides(tmp_path: Path) -> None:
    folder = _write(
        tmp_path,
        a='isvsvn = 1\n[match]\nnamespace = ["shop", "bank"]\nlabel = { tier = "db", of = "x" }\n',
        b='isvsvn = 2\n[match]\nnamespace = ["shop"]\n',
        c="isvsvn = 3\n",
    )
    rules = load_rules(folder)

    def chosen(namespace: str, **labels: str) -> str:
        return rule_for(rules, Subject(image=APP, namespace=namespace, labels=labels)).name

    assert chosen("shop", tier="db", of="x", more="y") == "a.toml"
    assert chosen("shop", tier="db") == "b.toml"
    assert chosen("bank", tier="db", of="z") == "c.toml"
    assert chosen("") == "c.toml"


def test_without_a_rule_nothing_is_converted(tmp_path: Path) -> None:
    rules = load_rules(_write(tmp_path, a=f'[match]\nimage = ["{APP}"]\n'))
    with pytest.raises(EnclavizeError, match=r"is for docker\.io/library/x:1 in the namespace shop"):
        rule_for(rules, Subject(image="docker.io/library/x:1", namespace="shop"))
    assert load_rules(tmp_path / "absent") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[match]\nimages = []", "line 2|match.images is unknown"),
        ("[match]\nimage = []", "match.image is not a list"),
        ('[match]\nimage = "x"', "match.image is not a list"),
        ('[match]\nimage = ["redis"]', "no name in full"),
        ('[match]\nimage = ["*"]', "no name in full"),
        ('[match]\nimage = ["registry.example/Team"]', "no name in full"),
        ("[match]\nlabel = { a = 1 }", "match.label is not a table of texts"),
        ("match = 1", "match is not a table"),
        ("[policy]\nallow-arg = true", "line 2: policy.allow-arg is unknown"),
        ('label = { a = "b" }', "label is for images"),
        ("[match", "a.toml"),
    ],
)
def test_a_malformed_rule_stops_all(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_rules(_write(tmp_path, a=text, b=""))


def test_a_rule_that_others_can_write_does_not_count(tmp_path: Path) -> None:
    _write(tmp_path, a="")
    (tmp_path / "a.toml").chmod(0o666)
    with pytest.raises(EnclavizeError, match="others can write to it"):
        load_rules(tmp_path)
