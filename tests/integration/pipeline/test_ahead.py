"""Layers for another registry are uploaded while they are downloaded and indexed."""

from __future__ import annotations

import io
import random
import threading
from typing import TYPE_CHECKING

import pytest

from support.images import build_image, file
from support.programs import busybox
from support.registry import Front

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.command import Command
    from support.images import BuiltImage
    from support.registry import FrontHandler, Registry

pytestmark = pytest.mark.integration

PATIENCE = 300
SMALL = 100_000
"""Bytes; our layers have more, a configuration less."""


@pytest.fixture(scope="module")
def large() -> BuiltImage:
    """Return an image whose second layer is no smaller when compressed."""
    noise = random.Random(1).randbytes(3_000_000)
    return build_image(
        [[file("bin/busybox", busybox().read_bytes(), 0o755)], [file("noise", noise)]],
        config={"Entrypoint": ["/bin/busybox", "true"]},
    )


def with_foreign_program() -> BuiltImage:
    """Return an image that no LibOS runs."""
    return build_image([[file("run", "#!/bin/nothing\n", 0o755)]], config={"Entrypoint": ["/run"]})


def is_blob(handler: FrontHandler, image: BuiltImage) -> bool:
    return handler.command == "GET" and handler.path.endswith(image.layers[1].descriptor.digest)


def is_upload(handler: FrontHandler) -> bool:
    return handler.command in ("PUT", "PATCH") and "/blobs/uploads/" in handler.path


def sessions(registry: Registry, repository: str) -> Iterator[Path]:
    """Yield what the registry has of uploads that are not finished."""
    return (registry.store / f"docker/registry/v2/repositories/{repository}/_uploads").glob("*/data")


def forgotten(registry: Registry, repository: str, target: Front) -> list[str]:
    """Return the unfinished uploads that were not cancelled.

    A registry that sees the end of a broken upload after its cancellation keeps what it had of it.
    """
    left = [data.parent.name for data in sessions(registry, repository)]
    return [name for name in left if not target.count(f"DELETE /v2/{repository}/blobs/uploads/{name}")]


def test_a_layer_is_uploaded_before_all_of_it_is_there(
    command: Command, registry: Registry, push: Callable[..., str], large: BuiltImage, key: Path
) -> None:
    push(large, "ahead/app:1")
    blob = large.layers[1].blob
    has_begun = threading.Event()
    arrived = 0

    def give_half(handler: FrontHandler) -> bool:
        if not is_blob(handler, large):
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(blob)))
        handler.end_headers()
        handler.wfile.write(blob[: len(blob) // 2])
        handler.wfile.flush()
        has_begun.wait(PATIENCE)
        handler.wfile.write(blob[len(blob) // 2 :])
        return True

    def take(handler: FrontHandler) -> bool:
        nonlocal arrived
        if is_upload(handler) and handler.headers["Content-Length"] == str(len(blob)):
            assert isinstance(handler.rfile, io.BufferedReader)
            handler.rfile.peek(1)  # waits for a byte of it
            arrived += 1
            has_begun.set()
        return False

    with Front(registry.port, give_half) as source, Front(registry.port, take) as target:
        command.run(
            "build", f"{source.host}/ahead/app:1", "-t", f"{target.host}/ahead/tee:1", "--key", key, "--push"
        )
        assert has_begun.is_set()
        assert arrived == 1
        for layer in large.layers:
            assert source.count(f"GET /v2/ahead/app/blobs/{layer.descriptor.digest}") == 1
            assert target.count(f"HEAD /v2/ahead/tee/blobs/{layer.descriptor.digest}") == 1
        assert target.requests[-1][0] == "PUT /v2/ahead/tee/manifests/1"
    command.run("verify", f"{registry.host}/ahead/tee:1", "--signer", key.with_name("key.pub.pem"))
    assert not list(sessions(registry, "ahead/tee"))


def test_what_every_image_gets_is_uploaded_while_layers_are_read(
    command: Command, registry: Registry, push: Callable[..., str], large: BuiltImage, key: Path
) -> None:
    push(large, "shared/app:1")
    sizes = {str(len(layer.blob)) for layer in large.layers}
    has_begun = threading.Event()

    def wait(handler: FrontHandler) -> bool:
        if is_blob(handler, large):
            assert has_begun.wait(PATIENCE)
        return False

    def take(handler: FrontHandler) -> bool:
        if is_upload(handler) and handler.headers["Content-Length"] not in sizes:
            has_begun.set()
        return False

    with Front(registry.port, wait) as source, Front(registry.port, take) as target:
        command.run(
            "build",
            f"{source.host}/shared/app:1",
            "-t",
            f"{target.host}/shared/tee:1",
            "--key",
            key,
            "--push",
        )
    command.run("verify", f"{registry.host}/shared/tee:1", "--signer", key.with_name("key.pub.pem"))


def test_the_configuration_waits_for_no_layer(
    command: Command, registry: Registry, push: Callable[..., str], large: BuiltImage, key: Path
) -> None:
    source = push(large, "config/app:1")
    sizes = {str(len(layer.blob)) for layer in large.layers}
    is_there = threading.Event()

    def take(handler: FrontHandler) -> bool:
        size = handler.headers["Content-Length"] or "0"
        if is_upload(handler) and size not in sizes:
            if int(size) < SMALL:
                is_there.set()
            else:
                assert is_there.wait(PATIENCE)
        return False

    with Front(registry.port, take) as target:
        command.run("build", source, "-t", f"{target.host}/config/tee:1", "--key", key, "--push")
        assert target.requests[-1][0] == "PUT /v2/config/tee/manifests/1"
    command.run("verify", f"{registry.host}/config/tee:1", "--signer", key.with_name("key.pub.pem"))


def test_an_upload_that_breaks_is_done_again(
    command: Command, registry: Registry, push: Callable[..., str], large: BuiltImage, key: Path
) -> None:
    source = push(large, "breaks/app:1")
    left = {layer.descriptor.digest.removeprefix("sha256:") for layer in large.layers}

    def refuse(handler: FrontHandler) -> bool:
        digest = handler.path.rpartition("sha256%3A")[2]
        if not is_upload(handler) or digest not in left:
            return False
        left.remove(digest)
        return handler.answer(403)

    with Front(registry.port, refuse) as target:
        done = command.run("build", source, "-t", f"{target.host}/breaks/tee:1", "--key", key, "--push")
        assert not left
        assert done.stderr.count("not yet: ") == 2
    command.run("verify", f"{registry.host}/breaks/tee:1", "--signer", key.with_name("key.pub.pem"))
    assert not list(sessions(registry, "breaks/tee"))


def test_a_registry_that_takes_nothing_costs_no_index(
    command: Command, registry: Registry, push: Callable[..., str], large: BuiltImage, key: Path
) -> None:
    source = push(large, "closed/app:1")
    with Front(registry.port, lambda handler: is_upload(handler) and handler.answer(403)) as target:
        arguments = ("build", source, "-t", f"{target.host}/closed/tee:1", "--key", key, "--push")
        assert "403" in command.run(*arguments, code=5).stderr
        assert not target.count("PUT /v2/closed/tee/manifests/")
    assert not list(sessions(registry, "closed/tee"))
    assert not command.leftovers()
    layers = [layer.descriptor.digest.removeprefix("sha256:") for layer in large.layers]
    assert all(list((command.blobs / "index").glob(f"{layer}-*")) for layer in layers)


def test_a_refused_build_leaves_no_manifest_and_no_session(
    command: Command, registry: Registry, push: Callable[..., str], key: Path
) -> None:
    source = push(with_foreign_program(), "refused/app:1")
    with Front(registry.port) as target:
        command.run("build", source, "-t", f"{target.host}/refused/tee:1", "--key", key, "--push", code=3)
        assert not target.count("PUT /v2/refused/tee/manifests/")
    assert not forgotten(registry, "refused/tee", target)


@pytest.mark.parametrize("kind", ["changed", "short"])
def test_a_layer_that_is_another_one_is_not_kept_anywhere(
    command: Command,
    registry: Registry,
    *,
    push: Callable[..., str],
    large: BuiltImage,
    key: Path,
    kind: str,
) -> None:
    push(large, "another/app:1")
    blob = large.layers[1].blob
    other = blob[:-1] + bytes([blob[-1] ^ 1]) if kind == "changed" else blob[:-1000]

    def give(handler: FrontHandler) -> bool:
        return is_blob(handler, large) and handler.answer(200, other)

    with Front(registry.port, give) as source, Front(registry.port) as target:
        name = f"{target.host}/another/{kind}:1"
        command.run("build", f"{source.host}/another/app:1", "-t", name, "--key", key, "--push", code=1)
        digest = large.layers[1].descriptor.digest
        assert not target.count(f"PUT /v2/another/{kind}/manifests/")
    link = registry.store / f"docker/registry/v2/repositories/another/{kind}/_layers/sha256/{digest[7:]}"
    assert not link.exists()
    assert not forgotten(registry, f"another/{kind}", target)
    assert not command.leftovers()
