"""Manifests are changed where images stand, and stay what they are elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from enclavize.errors import UsageError
from enclavize.node.manifests import images_of, with_images

POD = """# why
apiVersion: v1
kind: Pod
metadata:
  name: a   # its name
spec:
  runtimeClassName: rune
  initContainers:
  - {name: first, image: 'registry.example/init:1'}
  containers:
    - name: main
      image: registry.example/app:1 # this one
      env: [{name: A, value: "1"}]
"""
ANNOTATED = POD.replace("  name: a ", "  annotations:\n    some: thing\n  name: a ")
CRON = """kind: CronJob
spec:
  jobTemplate:
    spec:
      template:
        spec:
          runtimeClassName: rune
          containers:
            - image: "registry.example/app:1"
              name: main
"""


def _changed(text: str) -> str:
    found = images_of(text, "some.yaml", "rune")
    return with_images(text, [(item, f"{item.image}@new") for item in found], "some.yaml")


def _template(document: dict[str, Any]) -> dict[str, Any]:
    for name in ("spec", "jobTemplate", "spec", "template") if document["kind"] == "CronJob" else ():
        document = document[name]
    return document


@pytest.mark.parametrize("text", [POD, ANNOTATED, CRON, f"{POD}---\n{CRON}"])
def test_only_images_and_annotations_change(text: str) -> None:
    changed = _changed(text)
    for before, after in zip(yaml.safe_load_all(text), yaml.safe_load_all(changed), strict=True):
        pod, expected = _template(after), _template(before)
        annotations = expected.setdefault("metadata", {}).setdefault("annotations", {})
        for kind in ("initContainers", "containers"):
            for container in expected["spec"].get(kind, []):
                annotations[f"org.enclavize.original/{container['name']}"] = container["image"]
                container["image"] += "@new"
        assert pod == expected
    rest = [line for line in text.splitlines() if "image:" not in line]
    assert [line for line in changed.splitlines() if line in rest] == rest
    assert "# this one" in changed or text == CRON


def test_an_original_that_is_told_already_stays() -> None:
    text = POD.replace("  name: a ", "  annotations:\n    org.enclavize.original/main: x\n  name: a ")
    changed = yaml.safe_load(_changed(text))
    assert changed["metadata"]["annotations"]["org.enclavize.original/main"] == "x"
    assert changed["metadata"]["annotations"]["org.enclavize.original/first"] == "registry.example/init:1"


def test_other_pods_and_other_kinds_stay() -> None:
    text = POD.replace("runtimeClassName: rune", "runtimeClassName: other")
    text += "---\nkind: ConfigMap\ndata: {image: x}\n---\n" + POD.replace("  runtimeClassName: rune\n", "")
    assert images_of(text, "", "rune") == []
    assert len(images_of(text, "", "other")) == 2


def test_lists_and_aliases() -> None:
    text = "kind: List\nitems:\n- " + "\n  ".join(POD.splitlines()[1:]) + "\n"
    assert [item.container for item in images_of(text, "", "rune")] == ["first", "main"]
    shared = POD.replace("  containers:\n", "  containers: &all\n") + "---\n" + CRON
    assert yaml.safe_load_all(_changed(shared))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("registry.example/app:1 #", "&app registry.example/app:1 #", "line 12: the image is not written"),
        (
            "registry.example/app:1 #",
            ">-\n        registry.example/app:1\n      #",
            "line 12: the image is not",
        ),
        ("registry.example/app:1 #", "[1] #", "line 12: a container"),
        ("name: main", "nam: main", "line 12: a container without a name"),
        ("metadata:\n  name: a   # its name", "metadata: {name: a}", "lines of their own"),
        ("  name: a   # its name", "  annotations:\n  name: a", "lines of their own"),
        ("kind: Pod", "kind: [Pod", "is no YAML"),
    ],
)
def test_what_cannot_be_changed_is_refused(old: str, new: str, message: str) -> None:
    assert old in POD
    with pytest.raises(UsageError, match=message):
        _changed(POD.replace(old, new))
