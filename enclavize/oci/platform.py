"""Platforms of images and image indexes (image-spec, image-index.md, "platform").

Names are compared as containerd and docker compare them: github.com/containerd/platforms, database.go
(``normalizeOS``, ``normalizeArch``, ``isKnownOS``, ``isKnownArch``) and compare.go (``platformVector``).
"""

from __future__ import annotations

from dataclasses import dataclass

from enclavize.errors import UsageError

_OPERATING_SYSTEMS = {"": "linux", "macos": "darwin"}
"""Other names; an entry without one is for the system that the engine runs on."""

_ARCHITECTURES = {
    "i386": ("386", ""),
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
"""Other names, with the variant that they imply; None: that of the entry."""

_VARIANTS = {
    ("amd64", "v1"): "",
    ("arm64", "8"): "",
    ("arm64", "v8"): "",
    ("arm64", "v8.0"): "",
    ("arm64", "9"): "v9",
    ("arm64", "9.0"): "v9",
    ("arm64", "v9.0"): "v9",
    ("arm", ""): "v7",
    ("arm", "5"): "v5",
    ("arm", "6"): "v6",
    ("arm", "7"): "v7",
    ("arm", "8"): "v8",
}

_AMD64_LEVELS = {"": 1, "v2": 2, "v3": 3, "v4": 4}
"""x86-64 psABI, "Micro-Architecture Levels"."""

_OTHER_SYSTEMS = frozenset({
    "aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "nacl", "netbsd",
    "openbsd", "plan9", "solaris", "windows", "zos",
})  # fmt: skip
_OTHER_ARCHITECTURES = frozenset({
    "arm", "armbe", "arm64", "arm64be", "ppc", "ppc64", "ppc64le", "loong64", "mips", "mipsle", "mips64",
    "mips64le", "mips64p32", "mips64p32le", "riscv", "riscv64", "s390", "s390x", "sparc", "sparc64", "wasm",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Platform:
    """An operating system and a processor, for example linux/amd64, as somebody wrote it."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def is_stated(self) -> bool:
        """Whether there is anything to go by; docker takes an empty platform for none."""
        return bool(self.os or self.architecture or self.variant)

    @property
    def is_attestation(self) -> bool:
        """Whether this is unknown/unknown, for which BuildKit lists attestations, and which runs nowhere."""
        return self.machine == ("unknown", "unknown")

    @property
    def machine(self) -> tuple[str, str]:
        """System and architecture under their usual names."""
        normal = self.normalized()
        return normal.os, normal.architecture

    def normalized(self) -> Platform:
        """Return the platform under its usual names."""
        os, architecture, variant = self.os.lower(), self.architecture.lower(), self.variant.lower()
        architecture, implied = _ARCHITECTURES.get(architecture, (architecture, None))
        variant = variant if implied is None else implied
        return Platform(
            os=_OPERATING_SYSTEMS.get(os, os),
            architecture=architecture,
            variant=_VARIANTS.get((architecture, variant), variant),
        )

    def preference(self, other: Platform) -> int | None:
        """Tell how well an image for ``other`` runs here: 0 is best, None is not at all.

        A processor runs what was made for lower levels of its own architecture; amd64 without one is v1.
        """
        here, there = self.normalized(), other.normalized()
        if here.machine != there.machine:
            return None
        if here.variant == there.variant:
            return 0
        level, wanted = _AMD64_LEVELS.get(here.variant, 0), _AMD64_LEVELS.get(there.variant, 0)
        return level - wanted if here.architecture == "amd64" and level > wanted > 0 else None

    def may_run_on_amd64(self) -> bool:
        """Tell whether any engine on linux/amd64 could take an image for this platform.

        What is not known for certain to run elsewhere only may: other readers know other names, an engine
        goes by its processor's level, and takes 386 where there is nothing better.
        """
        os, architecture = self.machine
        return not (self.is_attestation or os in _OTHER_SYSTEMS or architecture in _OTHER_ARCHITECTURES)


LINUX_AMD64 = Platform(os="linux", architecture="amd64")
"""The one platform that SGX exists on."""


def parse_sgx_platform(text: str) -> Platform:
    """Parse a platform that SGX exists on: linux/amd64, of any level. Raises UsageError."""
    platform = parse_platform(text)
    if platform.machine != LINUX_AMD64.machine:
        raise UsageError(f"--platform {text}: SGX exists on {LINUX_AMD64} only")
    return platform


def parse_platform(text: str) -> Platform:
    """Parse ``os/architecture[/variant]``, or one of the first two alone. Raises UsageError.

    Source: github.com/containerd/platforms, platforms.go, ``Parse``.
    """
    match text.lower().split("/"):
        case [name] if name in _OTHER_SYSTEMS | {LINUX_AMD64.os} | _OPERATING_SYSTEMS.keys() - {""}:
            return Platform(os=name, architecture=LINUX_AMD64.architecture)
        case [name] if name in _OTHER_ARCHITECTURES | _ARCHITECTURES.keys() | {"386", "amd64"}:
            return Platform(os=LINUX_AMD64.os, architecture=name)
        case [os, architecture] if os and architecture:
            return Platform(os=os, architecture=architecture)
        case [os, architecture, variant] if os and architecture and variant:
            return Platform(os=os, architecture=architecture, variant=variant)
        case _:
            raise UsageError(f"{text!r} is not a platform", hint="write it like linux/amd64")
