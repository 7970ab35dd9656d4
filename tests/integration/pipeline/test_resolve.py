"""``enclavize resolve``: the images of manifests become those TEE images that were made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from enclavize.oci.reference import parse_reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Command
    from support.images import BuiltImage

pytestmark = pytest.mark.integration

POD = """kind: Pod
metadata:
  name: some
spec:
  runtimeClassName: rune
  containers:
    - name: main
      image: {image}
"""


def test_images_are_pinned(
    command: Command, image: BuiltImage, push: Callable[[BuiltImage, str], str]
) -> None:
    original = push(image, "shop/app:1")
    host = parse_reference(original).registry
    folders = ("--map", f"{host}/shop/*={host}/tee/*", "--insecure")
    (command.base / "pod.yaml").write_text(POD.format(image=original))
    assert (
        "nobody said what its TEE image is called"
        in command.run("resolve", "pod.yaml", "--insecure", code=2).stderr
    )
    assert "pod.yaml, line 8" in command.run("resolve", "pod.yaml", *folders, code=5).stderr
    command.run("build", original, "-t", f"{host}/tee/app:1", "--push", "--insecure")
    done = command.run("resolve", "pod.yaml", *folders, "-o", "pinned.yaml")
    assert done.stdout == ""
    pinned = yaml.safe_load((command.base / "pinned.yaml").read_text())
    found = parse_reference(pinned["spec"]["containers"][0]["image"])
    assert str(found).startswith(f"{host}/tee/app:1@sha256:")
    assert pinned["metadata"]["annotations"] == {"org.enclavize.original/main": original}
    command.run("inspect", str(found), "--insecure")
    text = (command.base / "pinned.yaml").read_text()
    assert command.run("resolve", "pinned.yaml", *folders).stdout == text


def test_an_image_that_has_moved_on_is_told(
    command: Command, image: BuiltImage, push: Callable[[BuiltImage, str], str]
) -> None:
    original = push(image, "old/app:1")
    host = parse_reference(original).registry
    command.run("build", original, "-t", f"{host}/old/tee:1", "--push", "--insecure")
    from support.images import build_image, file

    push(build_image([[file("other")]]), "old/app:1")
    (command.base / "pod.yaml").write_text(POD.format(image=original))
    words = ("resolve", "pod.yaml", "--insecure", "--map", f"{original.rpartition(':')[0]}={host}/old/tee")
    assert "was not made of" in command.run(*words, code=1).stderr
    words = ("resolve", "pod.yaml", "--insecure", "--map", f"{host}/old/app={host}/old/app")
    assert "is not a TEE image" in command.run(*words, code=1).stderr


@pytest.mark.parametrize("text", ["x", "a/*=b", "a=b@sha256:" + "a" * 64, "A B=c"])
def test_malformed_maps(command: Command, text: str) -> None:
    (command.base / "pod.yaml").write_text("")
    command.run("resolve", "pod.yaml", "--map", text, code=2)
