"""Names of labels and annotations that make engines, runtimes or snapshotters do something.

They get from an image to the host's software: Podman and CRI-O copy the manifest's annotations to the
container, umoci and containerd do it with labels, and snapshotters get those of layers. One of them ran
a program as the host's root (CVE-2026-53488 of containerd), others choose another runtime, or a table of
contents in place of a layer. So no TEE image has any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OWN_PREFIX = "org.enclavize."
"""Given by the build alone."""

_PREFIXES = (
    "enclave.",  # Inclavare Containers' rune: which library it loads
    "run.oci.",  # crun, and the next
    "module.wasm.image/",
    "org.systemd.property.",  # runc, crun: properties of the unit
    "org.criu.",  # runc, crun
    "containerd.io/",  # restarts and loggers of containers; what snapshotters read in place of layers
    "io.containerd.",
    "io.cri-containerd",
    "nerdctl/",
    "io.podman.",
    "io.containers.",  # Podman: capabilities, updates; eStargz
    "io.github.containers.",  # Podman: zstd:chunked, another table of contents
    "io.kubernetes.",  # kubelet, CRI-O, containerd's CRI
    "cdi.k8s.io/",  # devices
    "io.katacontainers.",
    "dev.gvisor.",
    "com.amazon.soci.",  # an index in place of a layer
)
_DOMAINS = (".crio.io", ".cri-o.io")
"""Of CRI-O: its settings are in domains of their own, as in ``userns-mode.crio.io``."""


def acted_on(names: Iterable[str]) -> Iterator[str]:
    """Yield those of the names that somebody acts on, sorted."""
    for name in sorted(names):
        if name.startswith(_PREFIXES) or f".{name.partition('/')[0]}".endswith(_DOMAINS):
            yield name
