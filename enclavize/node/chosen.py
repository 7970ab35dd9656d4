"""The rule that a node would convert an image by, asked from elsewhere."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.node.rules import Subject, load_rules, rule_for
from enclavize.oci.cache import BlobCache
from enclavize.oci.location import DaemonLocation, RegistryLocation
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.node.rules import Rule
    from enclavize.oci.location import Location
    from enclavize.oci.platform import Platform


def chosen_rule(
    path: Path,
    source: Location,
    platform: Platform,
    *,
    named: str | None,
    namespace: str,
    insecure: bool = False,
) -> Rule:
    """Return the rule for the image at ``source``, which the engine calls ``named``. Raises EnclavizeError.

    Labels are asked of the image only where a rule speaks of them.
    """
    rules = load_rules(path)
    if not path.exists():
        raise UsageError(f"there is no file or folder {path}")
    if named is None and not isinstance(source, RegistryLocation | DaemonLocation):
        if any(rule.images is not None for rule in rules):
            raise UsageError(f"rules ask for a name, and {source} has none", hint="add --as NAME")
        named = ""
    labels = {}
    if any(rule.labels for rule in rules):
        image = resolve(source, platform, cache=BlobCache(), insecure=insecure, reporter=Reporter())
        with closing(image.source):
            labels = dict(image.config.labels)
    name = named if named is not None else str(getattr(source, "reference", ""))
    return rule_for(rules, Subject(image=name, namespace=namespace, labels=labels))
