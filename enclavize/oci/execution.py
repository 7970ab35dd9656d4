"""How a folder's program is run: what an image says of itself in its configuration, and a folder cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from enclavize.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Execution:
    """The members of an image's ``config`` (image-spec, config.md), empty where nothing was said."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    """``NAME=value`` items."""
    working_dir: str = ""
    user: str = ""
    ports: tuple[str, ...] = ()
    """Like ``80/tcp``."""
    volumes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, with what was said."""
        members: dict[str, Any] = {
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "Env": list(self.env),
            "WorkingDir": self.working_dir,
            "User": self.user,
            "ExposedPorts": {port: {} for port in self.ports},
            "Volumes": {path: {} for path in self.volumes},
        }
        return {name: value for name, value in members.items() if value}


NOTHING = Execution()


def not_of_an_image(what: str) -> UsageError:
    """Return the error for one that was given although ``what`` is an image, and has its own."""
    return UsageError(
        f"{what} is an image, which says itself how it is run: --entrypoint, --cmd, --env, --workdir, "
        "--user, --expose and --volume-of-image are for dir:PATH",
        hint="change the image before, as with a Dockerfile (FROM ...), 'buildah config' or 'crane mutate'; "
        "to let the host decide: --allow-args, --allow-env",
    )
