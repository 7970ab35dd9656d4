"""Plans in rune's front end: two implementations make the same of them, and no text leads out of itself."""

from __future__ import annotations

import copy
import json
import struct
import subprocess
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.rune.plan import ConfigPlan, plan_document
from support.json_programs import sanitized
from support.mounts import origin_of
from support.plans import apply_plan, value_at
from support.programs import REPOSITORY
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SOURCES = (
    "json",
    "json_value",
    "json_edit",
    "text",
    "operation",
    "plan",
    "plan_changes",
    "origin",
    "mountinfo",
)
WORDS = [
    "",
    "a",
    "A=1",
    "ENCLAVE_TYPE=intelSgx",
    "\u00e9\u20ac\U0001f600",
    '"\\/\b\f\n\r\t',
    "{rootfs}",
    "{rootfs}x/{bundle}",
    "x" * 300,
]


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the reader of plans as a program of its own."""
    folder = tmp_path_factory.mktemp("plan")
    rune = REPOSITORY / "native" / "rune"
    sources = [REPOSITORY / "tests/native/rune/plan_probe.c", *(rune / f"{name}.c" for name in SOURCES)]
    return sanitized(folder / "plan_probe", sources, rune)


def _asked(probe: Path, pairs: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """Return what becomes of configurations by plans; no bytes: refused."""
    given = b"".join(struct.pack("<I", len(text)) + text for pair in pairs for text in pair)
    done = subprocess.run(
        [probe], input=given, capture_output=True, check=True, timeout=600,
        env={"ASAN_OPTIONS": "detect_leaks=0"},  # rune lives for some milliseconds, and gives nothing back
    )  # fmt: skip
    found, answers = done.stdout, []
    while found:
        (size,) = struct.unpack_from("<I", found)
        answers.append(found[4 : 4 + size])
        found = found[4 + size :]
    assert len(answers) == len(pairs), done.stderr.decode()
    return answers


def _value(random: Random, depth: int = 0) -> Any:
    match random.randrange(4 if depth > 2 else 6):
        case 0 | 1:
            return random.choice(WORDS)
        case 2:
            return random.randrange(1 << 40)
        case 3:
            return random.choice([True, False, None])
        case 4:
            return [_value(random, depth + 1) for _ in range(random.randrange(4))]
        case _:
            return {random.choice("abcd"): _value(random, depth + 1) for _ in range(random.randrange(4))}


def _config(random: Random) -> dict[str, Any]:
    def words() -> list[str]:
        return [random.choice(WORDS) for _ in range(random.randrange(5))]

    config: dict[str, Any] = {"x": _value(random)}
    parts = {
        "process": {"args": words(), "env": words(), "other": _value(random)},
        "annotations": {word: random.choice(WORDS) for word in words()},
        "mounts": [{"destination": f"/{word}", "options": words()} for word in words()],
        "hooks": random.choice([None, {}, {"prestart": [{"path": "/x"}]}]),
        "linux": {"devices": random.choice([[], None, [{"path": "/dev/a"}, {"path": "/dev/b"}]])},
    }
    for name in random.sample(sorted(parts), random.randrange(len(parts) + 1)):
        config[name] = parts[name]
    return config


def _plan(random: Random, config: dict[str, Any]) -> ConfigPlan:
    """Make a plan as rune does, that fits."""
    plan = ConfigPlan()
    args = value_at(config, ("process", "args")) or []
    if args:
        plan.require_head(("process", "args"), args[:1], more=True)
        plan.replace_head(("process", "args"), 1, ["run", random.choice(WORDS)])
    env = value_at(config, ("process", "env")) or []
    plan.require_strings(
        ("process", "env"), ["ENCLAVE_", "A"], [i for i in env if i[:1] == "A" or i[:8] == "ENCLAVE_"]
    )
    plan.replace_strings(("process", "env"), ["ENCLAVE_"], ["OWN=1", random.choice(WORDS)])
    annotations = {k: v for k, v in (config.get("annotations") or {}).items() if k.startswith("a")}
    plan.require_keys(("annotations",), ["a"], annotations)
    plan.put(("annotations",), random.choice(["mark", "a"]), "1")
    plan.require_elements(("mounts",), ("destination", "type", "options"), config.get("mounts") or [])
    plan.append(
        ("mounts",), {"destination": "/.enclave", "source": "{enclave}"}, {"destination": "/a", "options": []}
    )
    devices = [device["path"] for device in value_at(config, ("linux", "devices")) or []]
    plan.require_among(
        ("linux", "devices"), "path", ["/dev/b", "/dev/c"], [i for i in devices if i == "/dev/b"]
    )
    plan.append(("linux", "resources", "devices"), {"allow": True, "major": 1})
    plan.append(
        ("hooks", "createContainer"),
        {"path": "/h", "args": ["{rootfs}", "{bundle}", "{enclave}/a", "{device}", "{origin}/", "{x}"]},
    )
    plan.require_value(("linux", "seccomp", "defaultAction"), None)
    return plan


def _placeholders(tmp_path: Path) -> dict[str, str]:
    root = origin_of(tmp_path.__class__("/"))
    path = "/.enclave" if root.path == "/" else f"{root.path}/.enclave"
    return {
        "{bundle}": "/",
        "{rootfs}": "",
        "{enclave}": "/.enclave",
        "{device}": root.device,
        "{origin}": path,
    }


def _written(random: Random, config: object) -> bytes:
    return json.dumps(
        config, ensure_ascii=random.random() < 0.5, indent=random.choice([None, 1, "\t"])
    ).encode()


def test_both_make_the_same_of_a_plan(probe: Path, tmp_path: Path) -> None:
    seed = SystemRandom().randrange(1 << 32)
    random = Random(seed)
    placeholders = _placeholders(tmp_path)
    pairs, wanted = [], []
    for _ in range(scaled(20_000, least=1000)):
        config = _config(random)
        plan = plan_document(_plan(random, config), None)
        once = apply_plan(plan, copy.deepcopy(config), placeholders)
        pairs.append((plan, _written(random, config)))
        wanted.append(once)
    for answer, expected, pair in zip(_asked(probe, pairs), wanted, pairs, strict=True):
        assert answer, (seed, pair)
        assert json.loads(answer) == expected, (seed, pair)


def test_a_plan_for_another_configuration_does_not_fit(probe: Path, tmp_path: Path) -> None:
    """What is another one to the second implementation is another one to the first."""
    seed = SystemRandom().randrange(1 << 32)
    random = Random(seed)
    placeholders = _placeholders(tmp_path)
    pairs, wanted = [], []
    for _ in range(scaled(20_000, least=1000)):
        plan = plan_document(_plan(random, _config(random)), None)
        config = _config(random)
        try:
            wanted.append(apply_plan(plan, config, placeholders))
        except (AssertionError, TypeError):
            wanted.append({})
        pairs.append((plan, _written(random, config)))
    assert {} in wanted
    for answer, expected, pair in zip(_asked(probe, pairs), wanted, pairs, strict=True):
        assert (json.loads(answer) if answer else {}) == expected, (seed, pair)


EMPTY: dict[str, object] = {"version": 2, "folder": False, "holds": None, "conditions": [], "changes": []}


def _without(name: str) -> bytes:
    return json.dumps({member: value for member, value in EMPTY.items() if member != name}).encode()


def _with(**members: object) -> bytes:
    return json.dumps({**EMPTY, **members}).encode()


UNFORESEEN = {
    "version": _with(version=1),
    "no holds": _without("holds"),
    "no changes": _without("changes"),
    "no folder": _without("folder"),
    "a folder": _with(folder=1),
    "a condition": _with(conditions=[["new", ["x"], 1]]),
    "operands": _with(conditions=[["is", ["x"], 1, 1]]),
    "a change": _with(changes=[["new", ["x"], []]]),
    "a kind": _with(changes=[["append", ["x"], [{}]]]),
    "not an array": _with(conditions={}),
    "its end": _with().removesuffix(b"]}"),
    "nothing": b"",
}


@pytest.mark.parametrize("name", UNFORESEEN)
def test_what_is_not_foreseen_is_refused(probe: Path, name: str) -> None:
    config = b'{"x": 1}'
    assert _asked(probe, [(_with(), config), (UNFORESEEN[name], config)]) == [config, b""], name
