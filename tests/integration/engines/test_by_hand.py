"""Engines that Debian does not have, tried by hand: so that nobody takes them for tried here."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("engine", "how"),
    [
        (
            "containerd 2",
            "ENCLAVIZE_CONTAINERD=PATH takes another one for a kubelet's calls and for the chaos",
        ),
        ("docker 28", "its dockerd and docker have to come first in PATH"),
        (
            "a kubelet",
            "templates/kubernetes, on nodes set up by 'enclavize setup containerd'",
        ),
        ("CRI-O", "as podman: it starts runtimes by conmon"),
    ],
)
def test_it_is_tried_by_hand(engine: str, how: str) -> None:
    if engine == "containerd 2" and "ENCLAVIZE_CONTAINERD" in os.environ:
        return
    pytest.skip(f"{engine} is not in Debian; by hand: {how}")
