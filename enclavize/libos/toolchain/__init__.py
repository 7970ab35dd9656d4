"""Where a LibOS that is not ours comes from: its files, in an install prefix, an image or kept here."""

from enclavize.libos.toolchain.model import Toolchain, ToolchainFile
from enclavize.libos.toolchain.open import open_toolchain

__all__ = ["Toolchain", "ToolchainFile", "open_toolchain"]
