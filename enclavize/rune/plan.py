"""What becomes of the config.json of a TEE container: decided here, done by the front end.

A plan says under which conditions it holds, so that the front end can use it again, for other containers too,
without this part. It compares and writes; what a plan does not foresee it does not use. JSON:

    {"version": 2, "holds": {...} or null, "conditions": [...], "changes": [...], "folder": true or false}

``folder``: the container gets a folder of its own in its bundle, for the runelet of a PAL of others
(native/rune/pal_run.h).
``holds`` are conditions outside of config.json; without them a plan is for one container, now:

    enclavize    version of both parts
    program      path of who has decided: enclavize-rune; of rune, where it was enclavize run
    environment  {name: value, or null}
    policy       {path: [permission bits, SHA-256 in hex], or null for a file that must not be there}
    devices      {path: [major, minor], or null where there must not be a character device}
    looks        [[folder, path, target], ...]: the link below "rootfs", "host", or the source of a mount by
                 its number; target null: it is none
    places       [[folder, path, kinds], ...]: what is there is of a kind: "none", "empty", "folder", "other";
                 below "host" links are followed, below "rootfs" the last one is not
    files        {path below /.enclave: [permission bits, size, SHA-256 in hex]}: all that there are
    links        {path below /.enclave: target}
    unlisted     {folder below /.enclave: names}: only these names in it are looked at
    copies       {folder of this user: {name: [permission bits, size, SHA-256 in hex]}}: all that there are

``conditions`` on config.json. AT is a list of names of members; what is null is not there:

    ["is", AT, value]
    ["begins", AT, strings, more]             a list of strings; whether others may follow
    ["strings", AT, prefixes, found]          those of a list of strings that begin so
    ["keys", AT, prefixes, found]             those entries of a map, as [key, value]
    ["elements", AT, names, found]            all objects of a list, each by the values of these members
    ["among", AT, name, values, found]        those values of a member of a list's objects

``changes``, one after the other:

    ["head", AT, count, strings]              in place of the first ones of a list
    ["strings", AT, prefixes, strings]        in place of those that begin so, behind the others
    ["append", AT, objects]                   behind the others; the same ones are not there twice
    ["put", AT, key, value]                   in a map

A string in ``append`` that is one of the placeholders below, or begins with one and a slash, is filled for
each container.
"""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

VERSION = 2

BUNDLE = "{bundle}"
"""The bundle on the host, absolute and without links."""
ROOTFS = "{rootfs}"
"""The root file system on the host, absolute and without links."""
ENCLAVE = "{enclave}"
"""Its ``/.enclave``."""
DEVICE = "{device}"
"""The file system that has ``/.enclave``: MAJOR:MINOR as /proc/self/mountinfo writes it."""
ORIGIN = "{origin}"
"""The path of ``/.enclave`` inside that file system, written likewise."""

NONE, EMPTY, FOLDER, OTHER = "none", "empty", "folder", "other"
"""Kinds of places: nothing, a folder with nothing in it, another folder, anything else."""

At = tuple[str, ...]


@dataclass(kw_only=True)
class ConfigPlan:
    """Conditions and changes, as they are found."""

    conditions: list[list[Any]] = field(default_factory=list)
    changes: list[list[Any]] = field(default_factory=list)
    places: list[list[Any]] = field(default_factory=list)
    has_folder: bool = False

    def require_value(self, at: At, value: object) -> None:
        """``value`` None: there must be none."""
        self.conditions.append(["is", at, value])

    def require_head(self, at: At, strings: Sequence[str], *, more: bool) -> None:
        """``more``: others may follow."""
        self.conditions.append(["begins", at, strings, more])

    def require_strings(self, at: At, prefixes: Sequence[str], found: Sequence[str]) -> None:
        """No other strings may begin so."""
        self.conditions.append(["strings", at, prefixes, found])

    def require_keys(self, at: At, prefixes: Sequence[str], found: Mapping[str, object]) -> None:
        """No other keys may begin so."""
        self.conditions.append(["keys", at, prefixes, list(found.items())])

    def require_elements(self, at: At, names: Sequence[str], found: Sequence[Mapping[str, Any]]) -> None:
        """Compare these members of all objects of the list."""
        values = [[element.get(name) for name in names] for element in found]
        self.conditions.append(["elements", at, names, values])

    def require_among(self, at: At, name: str, values: Sequence[str], found: Sequence[str]) -> None:
        """No other object of the list may have one of the values."""
        self.conditions.append(["among", at, name, values, found])

    def require_place(self, folder: str, path: str, kinds: Sequence[str]) -> None:
        """``folder``: "rootfs" or "host"."""
        self.places.append([folder, path, kinds])

    def replace_head(self, at: At, count: int, strings: Sequence[str]) -> None:
        """Put strings in the place of the first ones."""
        self.changes.append(["head", at, count, strings])

    def replace_strings(self, at: At, prefixes: Sequence[str], strings: Sequence[str]) -> None:
        """Put strings in the place of those that begin so."""
        self.changes.append(["strings", at, prefixes, strings])

    def append(self, at: At, *elements: Mapping[str, Any]) -> None:
        """Add objects behind the others."""
        self.changes.append(["append", at, elements])

    def put(self, at: At, key: str, value: str) -> None:
        """Set an entry of a map."""
        self.changes.append(["put", at, key, value])


def kind_of_place(path: Path, *, follow: bool) -> str:
    """Return what is there. Raises OSError where that cannot be told."""
    try:
        status = path.stat() if follow else path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return NONE
    if not stat.S_ISDIR(status.st_mode):
        return OTHER
    return FOLDER if any(path.iterdir()) else EMPTY


def plan_document(plan: ConfigPlan, holds: Mapping[str, Any] | None) -> bytes:
    """Return the plan as the front end reads it."""
    document = {
        "version": VERSION,
        "holds": holds,
        "conditions": plan.conditions,
        "changes": plan.changes,
        "folder": plan.has_folder,
    }
    return json.dumps(document, separators=(",", ":")).encode()
