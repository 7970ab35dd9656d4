"""``rune create`` and ``rune run`` of a TEE bundle: check it, change its config.json, become runc.

config.json is changed in place, as nvidia-container-runtime does: state then shows the bundle that the engine
made, hooks find it where they look, and nothing has to be cleaned up.
"""

from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from enclavize import __version__
from enclavize.errors import EnclavizeError, InvalidImageError
from enclavize.resources import native_file
from enclavize.rune.admission import admit_image
from enclavize.rune.enclave import RUNELETS
from enclavize.rune.enclave_folder import UNLISTED, EnclaveFolder
from enclavize.rune.mode import ENCLAVE_DEVICES, SIMULATE_VARIABLE, choose_mode
from enclavize.rune.plan import plan_document
from enclavize.rune.settings import VARIABLES, absent_settings
from enclavize.rune.spec import PAL_DEVICES, SGX_DEVICES, character_device, own_mount, tee_plan
from enclavize.rune.verdict import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enclavize.rune.admission import AdmittedImage
    from enclavize.rune.mode import Mode
    from enclavize.rune.mounts import Look
    from enclavize.rune.plan import ConfigPlan
    from enclavize.rune.policy import NodePolicy
    from enclavize.rune.settings import Settings
    from enclavize.rune.verdict import Verdict
    from enclavize.rune.verdict_store import VerdictStore


def make_plan(
    spec: dict[str, Any],
    bundle: Path,
    policy: NodePolicy,
    store: VerdictStore,
    *,
    simulation_asked: bool,
    program: str | None = None,
    shared_tree: bool = False,
    tree: Path | None = None,
    traced_manifest: Path | None = None,
) -> bytes:
    """Return the plan for a TEE bundle (plan.py). Raises EnclavizeError if it must not run.

    ``spec`` is the content of its config.json. ``program`` is who decides (plan.py), in whose place the plan
    may do so later; None: it is for this bundle only. ``shared_tree``: other containers have the same root
    file system. ``tree`` holds ``.enclave`` for an image that the node has converted; None: it is in the root
    file system. ``traced_manifest``: what direct mode of Gramine reads instead of the image's manifest; that
    is still the one that is compared and admitted.
    """
    root = spec.get("root")
    path = root.get("path") if isinstance(root, dict) else None
    # runc takes ".." out of the text, the kernel goes up from where a link leads.
    if not isinstance(path, str) or not path or "\0" in path or ".." in path.split("/"):
        raise InvalidImageError(f"config.json of {bundle}: root.path is missing, or not of the usual form")
    bundle = bundle.resolve()
    rootfs = (bundle / path).resolve()
    admitted = admit_image(tree or rootfs, policy, store)
    enclave = admitted.enclave
    settings = policy.settings
    mode = choose_mode(
        settings,
        asked=simulation_asked,
        device_present=_has_device(enclave.libos),
        debug=enclave.debug,
        possible=admitted.modes(),
    )
    if enclave.libos not in RUNELETS:
        return _pal_plan(
            spec,
            admitted,
            rootfs=rootfs,
            bundle=bundle,
            policy=policy,
            mode=mode,
            program=program,
            shared_tree=shared_tree,
            tree=tree,
        )
    entrypoint: tuple[str, ...] = ()
    if tree:
        from enclavize.rune.converted import read_entrypoint

        entrypoint = read_entrypoint(tree)
    plan, looks = tee_plan(
        spec,
        rootfs=rootfs,
        bundle=bundle,
        runelet=native_file(RUNELETS[enclave.libos]),
        hook=native_file("rune-hook"),
        mode=mode,
        settings=settings,
        devices=SGX_DEVICES,
        measured_argv=admitted.argv,
        tree=tree.resolve() if tree else rootfs,
        entrypoint=entrypoint,
        direct_mode=enclave.libos == "gramine",
        quotes=enclave.libos == "gramine",
    )
    if traced_manifest is not None:
        from enclavize.libos.gramine.layout import MANIFEST, absolute

        plan.append(("mounts",), own_mount(absolute(MANIFEST), str(traced_manifest)))
    if program is None or looks is None:
        return plan_document(plan, None)
    return plan_document(plan, _holds(program, plan, looks, admitted.verdict))


def _has_device(libos: str) -> bool:
    """Whether this machine has a device for enclaves of this LibOS: that of the legacy driver is for PALs."""
    names = ENCLAVE_DEVICES if libos not in RUNELETS else ENCLAVE_DEVICES[:2]
    return any(map(character_device, names))


def _pal_plan(
    spec: dict[str, Any],
    admitted: AdmittedImage,
    *,
    rootfs: Path,
    bundle: Path,
    policy: NodePolicy,
    mode: Mode,
    program: str | None,
    shared_tree: bool,
    tree: Path | None,
) -> bytes:
    """Return the plan for an image whose PAL is the node's."""
    from enclavize.rune.converted import ConvertedImage, read_entrypoint
    from enclavize.rune.pal_folder import default_base, pal_folder
    from enclavize.rune.pal_plan import PalContainer, pal_plan

    settings = policy.settings
    pal = policy.pal_for(admitted.enclave.libos, admitted.libos_version(), mode)
    folder = pal_folder(
        pal,
        native_file("runelet-pal"),
        partial(_image_copy, admitted, tree or rootfs),
        settings.pal_copies or default_base(),
    )
    converted = None
    if tree:
        converted = ConvertedImage(
            tree=tree.resolve(),
            entrypoint=read_entrypoint(tree),
            argv=admitted.argv(),
            debug=admitted.enclave.debug,
        )
    container = PalContainer(
        rootfs=rootfs,
        bundle=bundle,
        folder=folder.path,
        pal=pal,
        shared_tree=shared_tree,
        converted=converted,
    )
    plan, looks = pal_plan(
        spec, container, hook=native_file("rune-hook"), mode=mode, settings=settings, devices=PAL_DEVICES
    )
    if program is None or looks is None or converted:  # what a container writes is its own
        return plan_document(plan, None)
    copies = {str(folder.path): folder.described()}
    return plan_document(
        plan, _holds(program, plan, looks, admitted.verdict, unlisted=UNLISTED, copies=copies)
    )


def _image_copy(admitted: AdmittedImage, rootfs: Path, sha256: str) -> Iterator[bytes]:
    """Read the file of an image that was verified with this digest. Raises EnclavizeError if it has none."""
    for name, file in admitted.verdict.files.items():
        if file.sha256 == sha256:
            with EnclaveFolder(rootfs) as folder:
                yield from folder.pieces(name)
            return
    raise EnclavizeError(
        f"the image has no file with the SHA-256 {sha256}, which this node lists for its PAL",
        hint="give the file a path in the list",
    )


def _holds(
    program: str,
    plan: ConfigPlan,
    looks: list[Look],
    verdict: Verdict,
    *,
    unlisted: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    copies: Mapping[str, object] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return all that decided besides config.json."""
    return {
        "enclavize": __version__,
        "program": program,
        "environment": {name: os.environ.get(name) for name in (SIMULATE_VARIABLE, *VARIABLES)},
        "policy": {
            **{str(path): None for path in absent_settings()},
            **_with_modes(verdict.policy),
        },
        "devices": {path: character_device(path) for path in PAL_DEVICES},
        "looks": looks,
        "places": plan.places,
        "files": {
            name: (file.found.mode, file.found.size, file.sha256) for name, file in verdict.files.items()
        },
        "links": verdict.links,
        "unlisted": dict(unlisted),
        "copies": dict(copies),
    }


def _with_modes(digests: Mapping[str, str]) -> dict[str, tuple[int, str] | None]:
    return {
        path: None if digest == ABSENT else (stat.S_IMODE(Path(path).stat().st_mode), digest)
        for path, digest in digests.items()
    }


def check_ordinary(settings: Settings) -> None:
    """Refuse an ordinary container where the node runs none under rune. Raises EnclavizeError."""
    if settings.ordinary == "refuse":
        raise EnclavizeError(
            "this node runs no ordinary containers under rune, and the image is not a TEE image",
            hint="convert it: enclavize build IMAGE -t TEE_IMAGE; or run it under runc",
        )
