"""A node that lists PALs of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.occlum_image import digest_of, pal_list

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from support.occlum_image import OcclumImage
    from support.rune import RuneInstallation


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node with settings of its own."""

    installation: RuneInstallation
    folder: Path
    image: OcclumImage
    name: str

    def configure(self, *lines: str, listed: str | None = None) -> None:
        """Write the settings and the list of the PAL."""
        path = self.folder / "occlum.toml"
        path.write_text(listed or pal_list(self.image.pal, digest_of(self.image.pal)))
        (self.folder / "config.toml").write_text(
            "\n".join(
                [
                    "allow_simulation = true",
                    f'pals = ["{path}"]',
                    f'pal_copies = "{self.folder / "copies"}"',
                    *lines,
                ]
            )
        )

    def rune(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run rune with these settings."""
        options = (f"--config={self.folder / 'config.toml'}", f"--root={self.folder / 'state'}")
        return self.installation.run(*options, *arguments)

    def run(self, bundle: Path) -> subprocess.CompletedProcess[str]:
        """Run the bundle to its end."""
        return self.rune("run", "--bundle", bundle, self.name)
