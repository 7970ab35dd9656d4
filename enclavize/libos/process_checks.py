"""What an image tells engines about its process, compared with what the enclave is bound to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError, IntegrityError
from enclavize.libos.builtin.process import stop_signal_of
from enclavize.libos.builtin.users import account_of
from enclavize.tee.instance import NO_HEALTH_CHECK
from enclavize.tee.start import HEALTH_SCHEDULE, is_count

if TYPE_CHECKING:
    from enclavize.oci.image_config import ImageConfig
    from enclavize.rootfs.tree import Rootfs


def check_user(
    config: ImageConfig, rootfs: Rootfs, *, uid: int, gid: int, groups: tuple[int, ...] | None = None
) -> None:
    """Look the user up in ``rootfs`` as engines do; ``groups`` None: the LibOS has no further ones.

    Raises IntegrityError.
    """
    try:
        user = account_of(rootfs, config).user
    except EnclavizeError as error:
        raise IntegrityError(f"the image runs as {config.user[:60]!r}: {error}") from error
    further = () if groups is None else user.groups
    found, wanted = (user.uid, user.gid, *further), (uid, gid, *(groups or ()))
    if found != wanted:
        raise IntegrityError(
            f"the image runs as {config.user[:60]!r}, which is {_ids(found)}, the enclave as {_ids(wanted)}"
        )


def check_stop_signal(config: ImageConfig, number: int) -> None:
    """Compare the signal that ends the program. Raises IntegrityError."""
    if stop_signal_of(config) != number:
        raise IntegrityError(
            f"the image has the stop signal {config.stop_signal[:40] or 'SIGTERM'!r}, the enclave {number}"
        )


def check_health(config: ImageConfig, *allowed: tuple[str, ...]) -> None:
    """Compare the health check, of which ``allowed`` are the commands. Raises IntegrityError.

    Where ``NO_HEALTH_CHECK`` is allowed, there may be none.
    """
    health = config.healthcheck or {}
    test = health.get("Test") or list(NO_HEALTH_CHECK)
    if test not in [list(command) for command in allowed]:
        raise IntegrityError(
            f"the image has the health check {test!r}"[:300] + ", which is not the enclave's"
        )
    for name, value in health.items():
        if name != "Test" and not (name in HEALTH_SCHEDULE and (value is None or is_count(value))):
            raise IntegrityError(f"the image has a health check with {name[:40]!r} of {value!r}"[:300])


def _ids(numbers: tuple[int, ...]) -> str:
    return ":".join(map(str, numbers))
