"""Registries that break, stall, redirect and ask for patience."""

from __future__ import annotations

import gc
import io
import os
import random
import socket
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError, IntegrityError, RegistryError
from enclavize.oci.archive_target import ArchiveStyle, ArchiveTarget
from enclavize.oci.cache import BlobCache
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.layout import LayoutTarget
from enclavize.oci.location import parse_location
from enclavize.oci.registry import transport
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.registry.target import RegistryTarget
from enclavize.oci.resolve import resolve
from enclavize.progress import EventKind, Reporter
from support.images import build_image, build_layer, file, to_write
from support.registry import Front

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from enclavize.oci.image import Image
    from enclavize.oci.registry.errors import TransientError
    from enclavize.progress import Event
    from support.images import BuiltImage
    from support.registry import FrontHandler, Registry

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_DELAY", 0.001)


@pytest.fixture
def large(registry: Registry, reporter: Reporter) -> BuiltImage:
    """An image with a layer of 3 MB, in the registry as ``large:1``."""
    image = build_image([[file("noise", random.Random(1).randbytes(3 << 20))]], compression="none")
    RegistryTarget().deliver(to_write(image, f"{registry.host}/large:1"), reporter)
    return image


def pull(host: str, cache: BlobCache, reporter: Reporter) -> Image:
    """Resolve ``large:1``."""
    return resolve(parse_location(f"{host}/large:1"), cache=cache, reporter=reporter)


def read_layer(image: Image, cache: BlobCache) -> bytes:
    """Read the one layer through the cache."""
    with fetch_blob(image, image.layers[0], cache) as stream:
        return stream.read()


def test_a_broken_download_goes_on_where_it_broke(
    registry: Registry, cache: BlobCache, reporter: Reporter, large: BuiltImage
) -> None:
    layer = large.layers[0].descriptor.digest

    def cut(handler: FrontHandler) -> bool:
        return handler.command == "GET" and layer in handler.path and handler.forward(limit=1_000_000)

    with Front(registry.port, cut) as front:
        image = pull(front.host, cache, reporter)
        assert read_layer(image, cache) == large.layers[0].blob
        ranges = [headers.get("Range") for line, headers in front.requests if layer in line]
        image.source.close()
    assert ranges == [None, "bytes=1000000-", "bytes=2000000-", "bytes=3000000-"]


def test_a_registry_that_dies_in_mid_blob_leaves_nothing(
    registry: Registry, cache: BlobCache, reporter: Reporter, large: BuiltImage
) -> None:
    layer = large.layers[0].descriptor.digest
    broken: list[str] = []

    def die(handler: FrontHandler) -> bool:
        if handler.command == "GET" and layer in handler.path:
            broken.append(handler.path)
            handler.forward(limit=1_000_000 if len(broken) == 1 else 0)
            return True
        return False

    with Front(registry.port, die) as front:
        image = pull(front.host, cache, reporter)
        with pytest.raises(RegistryError, match="broke after 1000000 of"):
            read_layer(image, cache)
        image.source.close()
    assert list(cache.temporary_folder.iterdir()) == []
    assert not cache.has(large.layers[0].descriptor.digest)


def test_a_blob_that_is_longer_than_told_is_refused(
    registry: Registry, cache: BlobCache, reporter: Reporter, large: BuiltImage
) -> None:
    layer = large.layers[0]

    def longer(handler: FrontHandler) -> bool:
        wanted = handler.command == "GET" and layer.descriptor.digest in handler.path
        return wanted and handler.answer(200, layer.blob + b"!")

    with Front(registry.port, longer) as front:
        image = pull(front.host, cache, reporter)
        with pytest.raises(IntegrityError, match="is longer than"):
            read_layer(image, cache)
        image.source.close()


def test_too_many_requests_are_repeated_after_the_time_asked_for(
    registry: Registry,
    cache: BlobCache,
    reporter: Reporter,
    large: BuiltImage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    refused: list[str] = []
    delay_after = transport.delay_after

    def note(attempt: int, error: TransientError) -> float:
        waits.append(delay_after(attempt, error))
        return 0

    monkeypatch.setattr(transport, "delay_after", note)

    def busy(handler: FrontHandler) -> bool:
        if "/manifests/" in handler.path and len(refused) < 2:
            refused.append(handler.path)
            return handler.answer(429, b'{"errors":[{"code":"TOOMANYREQUESTS"}]}', {"Retry-After": "7"})
        return False

    with Front(registry.port, busy) as front:
        pull(front.host, cache, reporter).source.close()
    assert waits == [7.0, 7.0]


def test_an_upload_is_repeated_from_its_start_when_the_server_fails(
    registry: Registry, cache: BlobCache, reporter: Reporter, large: BuiltImage
) -> None:
    failures: list[str] = []

    def fail(handler: FrontHandler) -> bool:
        if handler.command == "PUT" and "/blobs/uploads/" in handler.path and len(failures) < 2:
            failures.append(handler.path)
            return handler.answer(503)
        return False

    done: list[Event] = []
    with Front(registry.port, fail) as front:
        name = f"{front.host}/copy:1"
        RegistryTarget().deliver(to_write(large, name), Reporter(done.append))
    assert len(failures) == 2
    pushed = [event for event in done if event.kind is EventKind.DONE and event.name.startswith("push layer")]
    assert [event.current for event in pushed] == [large.layers[0].descriptor.size]
    assert not list(registry.store.rglob("copy/_uploads/*/data"))


def test_a_server_that_is_gone_is_given_up(registry: Registry, reporter: Reporter, large: BuiltImage) -> None:
    with Front(registry.port, lambda handler: handler.command == "POST" and handler.answer(500)) as front:
        with pytest.raises(RegistryError, match="HTTP status 500"):
            RegistryTarget().deliver(to_write(large, f"{front.host}/copy:1"), reporter)
        layer = large.layers[0].descriptor.digest
        assert front.count(f"HEAD /v2/copy/blobs/{layer}") == transport.ATTEMPTS
        assert front.count("POST") <= transport.ATTEMPTS * 2  # of the layer, and of the configuration


def test_credentials_do_not_follow_a_redirect_to_another_host(
    registry: Registry, large: BuiltImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Front(registry.port) as storage:

        def redirect(handler: FrontHandler) -> bool:
            if "Authorization" not in handler.headers:
                return handler.answer(401, headers={"WWW-Authenticate": 'Basic realm="here"'})
            if "/blobs/" in handler.path:
                return handler.answer(307, headers={"Location": f"http://{storage.host}{handler.path}"})
            return False

        from enclavize.oci.registry.credentials import Credentials

        with Front(registry.port, redirect) as front:
            auth = Credentials({"auths": {front.host: {"username": "bob", "password": "builder"}}})
            client = RegistryClient(front.host, auth=auth)
            layer = large.layers[0]
            with client.open_blob("large", layer.descriptor) as stream:
                assert stream.read() == layer.blob
            client.close()
        assert [headers.get("Authorization") for _, headers in storage.requests] == [None]


def test_endless_redirects_end(registry: Registry, cache: BlobCache, reporter: Reporter) -> None:
    with (
        Front(
            registry.port, lambda handler: handler.answer(307, headers={"Location": handler.path})
        ) as front,
        pytest.raises(RegistryError, match="redirects more than"),
    ):
        pull(front.host, cache, reporter)


def test_a_redirect_to_plain_http_elsewhere_is_refused(
    registry: Registry, cache: BlobCache, reporter: Reporter
) -> None:
    elsewhere = {"Location": "http://registry.invalid/v2/"}
    with (
        Front(registry.port, lambda handler: handler.answer(307, headers=elsewhere)) as front,
        pytest.raises(RegistryError, match="not encrypted"),
    ):
        pull(front.host, cache, reporter)


def test_warnings_are_shown_once_and_cannot_steer_the_terminal(
    registry: Registry, cache: BlobCache, large: BuiltImage
) -> None:
    seen: list[Event] = []
    warning = {"Warning": '299 - "this tag \x1b[31mgoes away"'}
    with Front(registry.port, lambda handler: handler.forward(headers=warning)) as front:
        pull(front.host, cache, Reporter(seen.append)).source.close()
    texts = [event.message for event in seen if event.kind is EventKind.WARNING]
    assert texts == ["this tag  [31mgoes away"]


def test_an_answer_that_is_not_json_is_refused(
    registry: Registry, cache: BlobCache, reporter: Reporter
) -> None:
    with (
        Front(registry.port, lambda handler: handler.answer(200, b"<html>hello</html>")) as front,
        pytest.raises(EnclavizeError, match="not valid JSON"),
    ):
        pull(front.host, cache, reporter)


def test_a_manifest_without_end_is_refused(registry: Registry, cache: BlobCache, reporter: Reporter) -> None:
    with (
        Front(registry.port, lambda handler: handler.answer(200, b" " * (5 << 20))) as front,
        pytest.raises(EnclavizeError, match="sends more than 4194304 bytes"),
    ):
        pull(front.host, cache, reporter)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # engines that run beside look at all mounts


def test_a_full_disk_is_told_with_a_hint(
    registry: Registry, reporter: Reporter, large: BuiltImage, tiny_disk: Path
) -> None:
    def fill() -> None:
        cache = BlobCache(tiny_disk / "cache")
        image = pull(registry.host, cache, reporter)
        targets = (LayoutTarget(tiny_disk / "layout"), ArchiveTarget(tiny_disk / "a.tar", ArchiveStyle.OCI))
        attempts: list[Callable[[], object]] = [partial(read_layer, image, cache)]
        attempts += [partial(target.deliver, to_write(large, "a:1"), reporter) for target in targets]
        for attempt in attempts:
            with pytest.raises(EnclavizeError, match="No space left on device") as caught:
                attempt()
            assert caught.value.hint
        image.source.close()

    fill()
    gc.collect()  # ends the cache's mark, which would keep the disk busy
    assert [path for path in tiny_disk.rglob("*") if path.is_file()] == []


def test_a_source_that_cannot_be_read_is_not_called_a_network_error(
    registry: Registry, reporter: Reporter, large: BuiltImage
) -> None:
    class Failing(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            raise OSError(5, os.strerror(5))

    image = to_write(large, f"{registry.host}/copy:1")
    failing = replace(image.layers[0], open=Failing)
    with pytest.raises(EnclavizeError, match="cannot read blob") as caught:
        RegistryTarget().deliver(replace(image, layers=(failing,)), reporter)
    assert not isinstance(caught.value, RegistryError)


def test_an_upload_that_is_cut_off_is_started_again(
    registry: Registry, cache: BlobCache, reporter: Reporter, large: BuiltImage
) -> None:
    cuts: list[str] = []

    def cut(handler: FrontHandler) -> bool:
        if handler.command == "PUT" and "/blobs/uploads/" in handler.path and len(cuts) < 2:
            cuts.append(handler.path)
            handler.rfile.read(1_000_000)
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
            return True
        return False

    with Front(registry.port, cut) as front:
        RegistryTarget().deliver(to_write(large, f"{front.host}/copy:1"), reporter)
    assert len(cuts) == 2
    assert registry.has_stored(large.layers[0].descriptor.digest)


def test_a_registry_that_dies_while_it_is_pushed_to_is_told(
    registry: Registry, reporter: Reporter, large: BuiltImage
) -> None:
    def die(handler: FrontHandler) -> bool:
        if handler.command == "PUT":
            registry.process.terminate()
            registry.process.wait()
        return False

    with Front(registry.port, die) as front, pytest.raises(RegistryError, match="no answer from"):
        RegistryTarget().deliver(to_write(large, f"{front.host}/copy:1"), reporter)


def test_when_one_layer_fails_the_others_stop(registry: Registry, reporter: Reporter) -> None:
    layers = [
        build_layer([file(f"{number}", random.Random(number).randbytes(1 << 20))]) for number in range(3)
    ]
    image = to_write(build_image(layers), f"{registry.host}/app:1")
    failed = threading.Event()

    class Failing(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            failed.set()
            raise OSError(5, os.strerror(5))

    class Endless(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            failed.wait()
            time.sleep(0.01)
            return b"x"

    streams = (Endless, Failing, Endless)
    changed = tuple(replace(layer, open=stream) for layer, stream in zip(image.layers, streams, strict=True))
    with pytest.raises(EnclavizeError):
        RegistryTarget().deliver(replace(image, layers=changed), reporter)


@pytest.mark.parametrize(
    "location", ["http://[::1", "http://localhost:99999/", "/\\x00", "file:///etc/passwd"]
)
def test_an_upload_location_that_is_no_address_is_told(
    registry: Registry, reporter: Reporter, large: BuiltImage, location: str
) -> None:
    def mislead(handler: FrontHandler) -> bool:
        return handler.command == "POST" and handler.answer(202, headers={"Location": location})

    with Front(registry.port, mislead) as front, pytest.raises(RegistryError):
        RegistryTarget().deliver(to_write(large, f"{front.host}/copy:1"), reporter)


def test_an_answer_without_end_to_a_refusal_is_not_read(
    registry: Registry, cache: BlobCache, reporter: Reporter
) -> None:
    def babble(handler: FrontHandler) -> bool:
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", 'Bearer realm="http://localhost:1/"')
        handler.end_headers()
        with suppress(OSError):
            while True:
                handler.wfile.write(bytes(1 << 16))
        handler.close_connection = True
        return True

    with Front(registry.port, babble) as front, pytest.raises(RegistryError):
        pull(front.host, cache, reporter)
