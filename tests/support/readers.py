"""Programs that read images: this one, skopeo, umoci and dockerd, each really run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError
from enclavize.libos.builtin.users import find_account
from enclavize.oci.cache import BlobCache
from enclavize.oci.digest import sha256_digest
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from enclavize.rootfs.index import index_image
from support.readings import Reading, of_config
from support.registry import Front
from support.trees import tree_of, tree_on_disk

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from docker import DockerClient

    from enclavize.oci.image import Image
    from enclavize.rootfs.tree import Rootfs
    from support.engines import Engine
    from support.registry import FrontHandler

OURS, SKOPEO, UMOCI, DOCKERD = READERS = ("enclavize", "skopeo", "umoci", "dockerd")

_TIMEOUT = 60
_CANNOT_START = (125, 126, 127)
"""Exit codes of ``docker run``."""
_UMOCI_ANNOTATIONS = "org.opencontainers.image."


class RefusedError(Exception):
    """A program does not take an image; the message is the program's."""


def enclavize(name: str, scratch: Path) -> Reading:
    """Read as ``verify`` and ``run`` read, with an empty cache. Raises RefusedError."""
    cache = BlobCache(scratch / "cache")
    try:
        image = resolve(parse_location(name), cache=cache, reporter=Reporter())
        with closing(image.source):
            image.require_one_reading()
            return _reading_of(image, index_image(image, cache=cache, reporter=Reporter()))
    except EnclavizeError as error:
        raise RefusedError(str(error)) from error


def _reading_of(image: Image, rootfs: Rootfs) -> Reading:
    config = image.config
    files = (rootfs.find(f"etc/{name}") for name in ("passwd", "group"))
    user = find_account(config.user, *((entry and entry.content) or b"" for entry in files)).user
    return Reading(
        started=config.entrypoint + config.cmd,
        entrypoint=config.entrypoint,
        cmd=config.cmd,
        env=config.env,
        user=config.user,
        ids=(user.uid, user.gid),
        working_dir=config.working_dir or "/",
        labels=config.labels,
        stop_signal=config.stop_signal,
        volumes=frozenset(config.volumes),
        ports=frozenset(config.exposed_ports),
        health=tuple((config.healthcheck or {}).get("Test") or ()),
        layers=tuple(layer.digest for layer in image.layers),
        diff_ids=config.diff_ids,
        tree=tree_of(rootfs),
    )


def skopeo(name: str, scratch: Path) -> Reading:
    """Copy with skopeo, which checks all digests, and let it tell what it read. Raises RefusedError."""
    source = f"docker://{name}" if name.startswith("127.0.0.1:") else name
    insecure = ("--src-tls-verify=false",) if source != name else ()
    tool("skopeo", "copy", "-q", "--insecure-policy", *insecure, source, f"dir:{scratch / 'copy'}")
    plain = ("--tls-verify=false",) if source != name else ()
    config = json.loads(tool("skopeo", "inspect", *plain, "--config", source))
    layers = json.loads(tool("skopeo", "inspect", *plain, "--no-tags", source))["Layers"]
    return Reading(
        **of_config(config.get("config")),
        # It calls those of a docker archive by their diff IDs, compressed or not.
        layers=None if name.startswith("docker-archive:") else tuple(layers),
        diff_ids=tuple(config["rootfs"]["diff_ids"]),
    )


def umoci(layout: Path, tag: str, scratch: Path) -> Reading:
    """Unpack with umoci into a bundle. Raises RefusedError."""
    bundle = scratch / "bundle"
    tool("umoci", "unpack", "--image", f"{layout}:{tag}", bundle)
    config = json.loads((bundle / "config.json").read_text())
    process, annotations = config["process"], config.get("annotations") or {}
    reading = Reading(
        started=() if process.get("args") == ["sh"] else tuple(process["args"]),  # its own default
        env=tuple(process["env"]),
        ids=(process["user"]["uid"], process["user"]["gid"]),
        working_dir=process["cwd"],
        labels={key: text for key, text in annotations.items() if not key.startswith(_UMOCI_ANNOTATIONS)},
        stop_signal=annotations.get(f"{_UMOCI_ANNOTATIONS}stopSignal", ""),
        ports=frozenset(filter(None, annotations.get(f"{_UMOCI_ANNOTATIONS}exposedPorts", "").split(","))),
        tree=tree_on_disk(bundle / "rootfs"),
    )
    shutil.rmtree(bundle)
    return reading


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a program has ended, and what it has printed."""

    status: int
    output: str


@dataclass(frozen=True, kw_only=True)
class Dockerd:
    """A running dockerd that keeps each layer in a folder of its own (storage driver vfs)."""

    engine: Engine
    client: DockerClient

    def pull(self, name: str) -> Reading:
        """Pull ``HOST/NAME@DIGEST``, or with a tag. Raises RefusedError."""
        self._run("pull", "-q", name)
        return self._read(name)

    def load(self, archive: Path, name: str) -> Reading:
        """Load an archive; read the image of this name, or else the only one. Raises RefusedError."""
        return self._read(self._loaded(archive, name))

    def run_pulled(self, name: str) -> Outcome:
        """Pull an image and run it as a container, under runc. Raises RefusedError."""
        self._run("pull", "-q", name)
        return self._container(name)

    def run_loaded(self, archive: Path, name: str) -> Outcome:
        """Load an image of an archive and run it. Raises RefusedError."""
        return self._container(self._loaded(archive, name))

    def _loaded(self, archive: Path, name: str) -> str:
        told = self._run("load", "-q", "-i", archive)
        loaded = re.findall(r"^Loaded image(?: ID)?: (.+)$", told, re.MULTILINE)
        if not loaded:
            raise RefusedError("nothing was loaded")
        return name or str(loaded[0])

    def _container(self, image: str) -> Outcome:
        try:
            done = self.engine.run("run", "--rm", "--network", "none", image)
        finally:
            self.client.images.remove(image, force=True)
        if done.returncode in _CANNOT_START:
            raise RefusedError(done.stderr.strip())
        return Outcome(status=done.returncode, output=done.stdout)

    def _run(self, *arguments: str | Path) -> str:
        done = self.engine.run(*arguments)
        if done.returncode != 0:
            raise RefusedError(done.stderr.strip())
        return done.stdout

    def _read(self, name: str) -> Reading:
        found: dict[str, Any] = self.client.images.get(name).attrs
        diff_ids = tuple(found["RootFS"].get("Layers") or ())
        try:
            config = found["Config"] or {}
            health = (config.get("Healthcheck") or {}).get("Test") or ()
            return Reading(
                **of_config(config),
                health=tuple(health),
                diff_ids=diff_ids,
                tree=tree_on_disk(self._folder(diff_ids)) if diff_ids else None,
            )
        finally:
            self.client.images.remove(name, force=True)

    def _folder(self, diff_ids: Iterable[str]) -> Path:
        """Find where layers were unpacked one over the other (image-spec, config.md, "Layer ChainID")."""
        chain = ""
        for diff_id in diff_ids:
            chain = sha256_digest(f"{chain} {diff_id}".encode()) if chain else diff_id
        data = self.engine.folder / "data"
        identifier = (
            data / "image" / "vfs" / "layerdb" / "sha256" / chain.removeprefix("sha256:") / "cache-id"
        )
        return data / "vfs" / "dir" / identifier.read_text()


class LayoutRegistry(Front):
    """A registry that hands out what is in layouts, byte for byte, however odd: real ones refuse to take it.

    ``layouts`` are folders by name of the repository.
    """

    def __init__(self, layouts: dict[str, Path]) -> None:
        super().__init__(0, self._answer)
        self.layouts = layouts

    def _answer(self, handler: FrontHandler) -> bool:
        match handler.path.split("/"):
            case ["", "v2", ""]:
                return handler.answer(200)
            case ["", "v2", name, "manifests" | "blobs" as kind, what] if name in self.layouts:
                return self._give(handler, self.layouts[name], kind, what)
            case _:
                return handler.answer(404)

    def _give(self, handler: FrontHandler, layout: Path, kind: str, what: str) -> bool:
        types = {entry["digest"]: entry["mediaType"] for entry in _descriptors(layout)}
        path = layout / "blobs" / "sha256" / what.removeprefix("sha256:")
        if not path.is_file():
            return handler.answer(404)
        media_type = types.get(what, "application/octet-stream") if kind == "manifests" else ""
        headers = {
            "Content-Type": media_type or "application/octet-stream",
            "Docker-Content-Digest": what,
        }
        return handler.answer(200, path.read_bytes(), headers)


def _descriptors(layout: Path) -> Iterable[dict[str, Any]]:
    """Yield the descriptors of manifests: those of index.json, and those of indexes."""
    for path in (layout / "index.json", *(layout / "blobs" / "sha256").iterdir()):
        if path.stat().st_size > 1 << 20:
            continue
        try:
            document = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict) and isinstance(document.get("manifests"), list):
            yield from document["manifests"]


def tool(*command: str | Path) -> bytes:
    """Run a program; return what it prints. Raises RefusedError with the last line of its errors."""
    done = subprocess.run(command, capture_output=True, check=False, timeout=_TIMEOUT)
    if done.returncode != 0:
        raise RefusedError(done.stderr.decode(errors="replace").strip().splitlines()[-1])
    return done.stdout
