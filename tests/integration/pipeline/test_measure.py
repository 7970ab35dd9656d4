"""``enclavize measure`` tells what a build will have, and ``policy check`` which rule decides on a node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from enclavize.oci.reference import parse_reference
from support.command import Command
from support.images import write_layout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.images import BuiltImage

pytestmark = pytest.mark.integration

OPTIONS = """
production = false
isvprodid = 7
isvsvn = 3
[resources]
memory = "64M"
[policy]
allow-args = true
allow-env = ["TZ", "POD_NAME"]
volume = ["/data:ro"]
"""


@pytest.fixture
def command(tmp_path: Path, native: Path) -> Command:
    return Command(base=tmp_path, native=native)


@pytest.fixture
def source(tmp_path: Path, image: BuiltImage) -> str:
    return f"oci:{write_layout(tmp_path / 'source', {'1': image})}"


def _built(command: Command, source: str, *options: str) -> dict[str, object]:
    layout = command.base / "built"
    command.run("build", source, "-t", "app:1", *options, "-o", f"type=oci,tar=false,dest={layout}")
    found = json.loads(command.run("inspect", f"oci:{layout}", "--format", "json").stdout)
    assert isinstance(found, dict)
    return found


def test_it_is_the_measurement_of_a_build(command: Command, source: str) -> None:
    command.run("keygen", "key.pem")
    (command.base / "options.toml").write_text(OPTIONS)
    rules = command.base / "rules"
    rules.mkdir()
    (rules / "50-all.toml").write_text(OPTIONS)
    (rules / "10-other.toml").write_text('[match]\nnamespace = ["elsewhere"]\n')
    built = _built(command, source, "--key", "key.pem", "--config", "options.toml")
    by_config = json.loads(
        command.run("measure", source, "--config", "options.toml", "--format", "json").stdout
    )
    by_rule = json.loads(command.run("measure", source, "--policy-of", rules, "--format", "json").stdout)
    assert by_rule.pop("rule") == "50-all.toml"
    assert by_rule == by_config
    assert by_config["mrenclave"] == built["mrenclave"]
    assert (by_config["isvprodid"], by_config["isvsvn"], by_config["debug"]) == (7, 3, False)
    assert by_config["options"]["memory"] == 64 << 20
    elsewhere = command.run(
        "measure", source, "--policy-of", rules, "--namespace", "elsewhere", "--format", "mrenclave"
    ).stdout.strip()
    assert elsewhere == command.run("measure", source, "--format", "mrenclave").stdout.strip()
    assert elsewhere != built["mrenclave"]


def test_a_debug_image_has_another(command: Command, source: str) -> None:
    measured = command.run("measure", source, "--debug", "--format", "mrenclave").stdout.strip()
    assert measured == _built(command, source)["mrenclave"]
    assert measured != command.run("measure", source, "--format", "mrenclave").stdout.strip()


def test_which_rule_takes_an_image(
    command: Command, source: str, image: BuiltImage, push: Callable[..., str]
) -> None:
    rules = command.base / "rules"
    rules.mkdir()
    (rules / "10-labelled.toml").write_text('[match]\nlabel = { who = "me" }\nnamespace = ["shop"]\n')
    (rules / "20-named.toml").write_text('isvsvn = 4\n[match]\nimage = ["registry.example/app"]\n')
    named = ("--as", "registry.example/app:1")
    found = command.run("policy", "check", rules, source, *named, "--format", "json")
    assert json.loads(found.stdout)["rule"] == "20-named.toml"
    assert json.loads(found.stdout)["isvsvn"] == 4
    assert json.loads(found.stdout)["options"]["policy"]["args"] is False
    found = command.run("policy", "check", rules, source, *named, "--namespace", "shop", "--format", "rule")
    assert found.stdout.strip() == "10-labelled.toml"
    refused = command.run("policy", "check", rules, source, "--as", "registry.example/other:1", code=1)
    assert "no rule of this node is for registry.example/other:1" in refused.stderr
    assert "add --as NAME" in command.run("policy", "check", rules, source, code=2).stderr
    pushed = push(image, "team/app:1")
    registry = parse_reference(pushed).registry
    (rules / "30-registry.toml").write_text(f'[match]\nimage = ["{registry}/*"]\n')
    found = command.run("policy", "check", rules, pushed, "--insecure", "--format", "rule")
    assert found.stdout.strip() == "30-registry.toml"


def test_what_cannot_be_built_cannot_be_measured(command: Command, source: str) -> None:
    built = command.base / "built"
    _built(command, source)
    assert "is a TEE image already" in command.run("measure", f"oci:{built}", code=2).stderr
    assert "no file or folder" in command.run("measure", source, "--policy-of", "absent", code=2).stderr
    (command.base / "rule.toml").write_text("isvsvn = 70000\n")
    refused = command.run("measure", source, "--policy-of", "rule.toml", code=2)
    assert "rule.toml, line 1: isvsvn is not a number" in refused.stderr


def test_a_rule_for_what_nodes_do_not_do_is_told(command: Command, source: str) -> None:
    rule = command.base / "rule.toml"
    rule.write_text('libos = "auto"\n')
    for words in (
        ("measure", source, "--policy-of", rule),
        ("policy", "check", rule, source, "--as", "a/b:1"),
    ):
        assert "the rule rule.toml asks for auto: nodes convert for" in command.run(*words, code=2).stderr
    rule.write_text('libos = "gramine"\ntoolchain = "registry.example/gramine:1"\n')
    said = command.run("policy", "check", rule, source, "--as", "a/b:1", code=2).stderr
    assert "a node's is a folder, by its absolute path, or a kept one" in said
    rule.write_text('libos = "gramine"\ntoolchain = "/opt/gramine"\n')
    found = command.run("policy", "check", rule, source, "--as", "a/b:1", "--format", "toolchain").stdout
    assert found == "/opt/gramine\n"
