"""Plans of rune, read by a second implementation: what the front end in C has to make of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def value_at(config: object, at: Sequence[str]) -> Any:
    """Return a value, or None."""
    for name in at:
        if not isinstance(config, dict):
            return None
        config = config.get(name)
    return config


def _begin(text: str, prefixes: Sequence[str]) -> bool:
    return text.startswith(tuple(prefixes))


def _found(value: Any, condition: Sequence[Any]) -> Any:
    """Return what a condition is about; its last member is what that has to be."""
    match condition:
        case ["is", _, _]:
            return value
        case ["begins", _, head, more]:
            return more if value[: len(head)] == head and (more or len(value) == len(head)) else None
        case ["strings", _, prefixes, _]:
            return [item for item in value or [] if _begin(item, prefixes)]
        case ["keys", _, prefixes, _]:
            return [[*item] for item in (value or {}).items() if _begin(item[0], prefixes)]
        case ["elements", _, names, _]:
            return [[item.get(name) for name in names] for item in value or []]
        case ["among", _, name, values, _]:
            return [item[name] for item in value or [] if item.get(name) in values]
        case _:
            raise AssertionError(condition)


def _filled(value: Any, placeholders: Mapping[str, str]) -> Any:
    match value:
        case str():
            name, slash, rest = value.partition("/")
            return f"{placeholders[name]}{slash}{rest}" if name in placeholders else value
        case list():
            return [_filled(item, placeholders) for item in value]
        case dict():
            return {name: _filled(item, placeholders) for name, item in value.items()}
        case _:
            return value


def _changed(value: Any, change: Sequence[Any], placeholders: Mapping[str, str]) -> Any:
    match change:
        case ["head", _, count, strings]:
            return [*strings, *value[count:]]
        case ["strings", _, prefixes, strings]:
            return [*(item for item in value or [] if not _begin(item, prefixes)), *strings]
        case ["append", _, elements]:
            added = _filled(elements, placeholders)
            return [*(item for item in value or [] if item not in added), *added]
        case ["put", _, key, text]:
            return {**{name: item for name, item in (value or {}).items() if name != key}, key: text}
        case _:
            raise AssertionError(change)


def apply_plan(document: bytes, config: dict[str, Any], placeholders: Mapping[str, str]) -> dict[str, Any]:
    """Return the changed configuration. AssertionError if the plan does not fit it."""
    plan = json.loads(document)
    for condition in plan["conditions"]:
        assert _found(value_at(config, condition[1]), condition) == condition[-1], condition
    result: dict[str, Any] = json.loads(json.dumps(config))
    for change in plan["changes"]:
        at = change[1]
        parent = result
        for name in at[:-1]:
            parent[name] = parent.get(name) or {}
            parent = parent[name]
        parent[at[-1]] = _changed(parent.get(at[-1]), change, placeholders)
    return result
