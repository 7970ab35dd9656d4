"""Images in Kubernetes' manifests: where they stand in the text, which is changed and not written anew.

Comments, order and quotes stay: a changed image is written in the place of the old one, and an annotation of
the pod is put before the first one that is there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from enclavize.errors import InvalidImageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

ORIGINAL = "org.enclavize.original"
"""Prefix of the annotations that tell which image a container had; its name follows behind a slash."""

MAX_SIZE = 16 << 20

_TEMPLATES = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "PodTemplate": ("template",),
}
"""Where the kinds of Kubernetes' API that make pods have the pod (core/v1, apps/v1, batch/v1)."""

_SPECIAL = "&!|>"
"""Anchors and tags stand before what they are for, and signs of blocks of lines."""

_CONTAINERS = ("initContainers", "containers")


@dataclass(frozen=True, kw_only=True)
class ContainerImage:
    """An image in a manifest. ``line`` counts from 1; ``pod`` is the node that has metadata and spec."""

    image: str
    container: str
    line: int
    start: int
    end: int
    pod: Any = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class _Edit:
    start: int
    end: int
    text: str


def images_of(text: str, path: str, runtime_class: str) -> list[ContainerImage]:
    """Return the images of all pods of a runtime class, in the order of the text. Raises UsageError."""
    yaml = _yaml()
    if len(text) > MAX_SIZE:
        raise UsageError(f"{path} is larger than {MAX_SIZE} bytes")
    try:
        documents = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path} is no YAML: {error}") from error
    return [image for document in documents for image in _images(document, text, path, runtime_class)]


def with_images(text: str, chosen: list[tuple[ContainerImage, str]], path: str) -> str:
    """Return the text with other images, and the old ones in annotations of their pods. Raises UsageError."""
    edits: list[_Edit] = []
    added: dict[int, tuple[Any, dict[str, str]]] = {}
    for found, image in {found.start: (found, image) for found, image in chosen}.values():  # aliases
        edits.append(_Edit(start=found.start, end=found.end, text=json.dumps(image)))
        _, annotations = added.setdefault(id(found.pod), (found.pod, {}))
        annotations[f"{ORIGINAL}/{found.container}"] = found.image
    for pod, annotations in added.values():
        edits.append(_annotating(pod, annotations, path))
    for edit in sorted(edits, key=lambda edit: -edit.start):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _images(document: Any, text: str, path: str, runtime_class: str) -> Iterator[ContainerImage]:
    kind = _text(_member(document, "kind"))
    if kind == "List":
        for item in _sequence(_member(document, "items")):
            yield from _images(item, text, path, runtime_class)
    if kind not in _TEMPLATES:
        return
    pod = document
    for name in _TEMPLATES[kind]:
        pod = _member(pod, name)
    spec = _member(pod, "spec")
    if _text(_member(spec, "runtimeClassName")) != runtime_class:
        return
    for name in _CONTAINERS:
        for container in _sequence(_member(spec, name)):
            image = _member(container, "image")
            if image is None:
                continue
            line = image.start_mark.line + 1
            if text[image.start_mark.index] in _SPECIAL:
                raise UsageError(f"{path}, line {line}: the image is not written in a plain way")
            if not _text(image) or not _text(_member(container, "name")):
                raise UsageError(f"{path}, line {line}: a container without a name, or its image is no text")
            yield ContainerImage(
                image=_text(image),
                container=_text(_member(container, "name")),
                line=line,
                start=image.start_mark.index,
                end=image.end_mark.index,
                pod=pod,
            )


def _annotating(pod: Any, annotations: dict[str, str], path: str) -> _Edit:
    """Return what puts annotations into a pod's metadata, whatever is there of it."""
    for names in (("metadata", "annotations"), ("metadata",), ()):
        node, missing = pod, ("metadata", "annotations")[len(names) :]
        for name in names:
            node = _member(node, name)
        if node is None:
            continue
        if getattr(node, "flow_style", True) or not node.value:
            line = node.start_mark.line + 1
            raise UsageError(
                f"{path}, line {line}: annotations can be added where metadata stand in lines of their own"
            )
        first = node.value[0][0].start_mark
        if names == ("metadata", "annotations"):
            present = {_text(key) for key, _ in node.value}
            annotations = {name: image for name, image in annotations.items() if name not in present}
        indent = first.column
        lines = [f"{' ' * (indent + 2 * depth)}{name}:" for depth, name in enumerate(missing)]
        inner = " " * (indent + 2 * len(missing))
        lines += [f"{inner}{name}: {json.dumps(image)}" for name, image in annotations.items()]
        text = "".join(f"{line}\n" for line in lines)[indent:] + " " * indent if annotations else ""
        return _Edit(start=first.index, end=first.index, text=text)
    raise InvalidImageError(f"{path}: a pod without metadata")


def _member(node: Any, name: str) -> Any:
    if node is None or node.id != "mapping":
        return None
    return next((value for key, value in node.value if _text(key) == name), None)


def _sequence(node: Any) -> list[Any]:
    return list(node.value) if node is not None and node.id == "sequence" else []


def _text(node: Any) -> str:
    return str(node.value) if node is not None and node.id == "scalar" else ""


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise UsageError(
            "manifests cannot be read: PyYAML is not installed", hint='pip install "enclavize[node]"'
        ) from error
    return yaml
