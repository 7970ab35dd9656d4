"""Add this version's native components to the table by which `enclavize verify` knows them.

To be run once, by whoever makes a release, in a clean checkout of what is released. Builds are reproducible:
who doubts the table runs this again in a checkout of the tag, and nothing changes.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TABLE = REPOSITORY / "enclavize" / "tee" / "releases.toml"
COMPONENTS = ("libos.so", "runelet", "runelet-gramine")


def add_release(table: Path, version: str, components: dict[str, str]) -> str:
    """Write the release into ``table``; return what was done. A release that is there must be the same."""
    text = table.read_text(encoding="utf-8")
    for release in tomllib.loads(text).get("release", ()):
        if release["version"] == version:
            if release["components"] == components:
                return f"{version} is in {table.name} already"
            sys.exit(
                f"{version} is in {table.name} with other digests: a release does not change. "
                "Count the version up, or build what was released"
            )
    lines = "".join(f'"{name}" = "{digest}"\n' for name, digest in components.items())
    entry = f'\n[[release]]\nversion = "{version}"\n\n[release.components]\n{lines}'
    table.write_text(text + entry, encoding="utf-8")
    return f"{version} was added to {table.name}"


def current_version() -> str:
    """Read the version without importing the package."""
    text = (REPOSITORY / "enclavize" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'__version__ = "([^"]+)"', text)
    if match is None:
        sys.exit("enclavize/__init__.py has no version")
    return match[1]


def build_components() -> dict[str, str]:
    """Build, and return the digests."""
    subprocess.run([sys.executable, Path(__file__).with_name("build.py")], check=True)
    native = REPOSITORY / "enclavize" / "_native"
    return {name: hashlib.sha256((native / name).read_bytes()).hexdigest() for name in COMPONENTS}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, default=TABLE)
    arguments = parser.parse_args()
    print(add_release(arguments.table, current_version(), build_components()))
