"""Hatchling's build hook: compile native/ before a wheel or an editable install is made."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeBuildHook(BuildHookInterface[Any]):
    """Compile native/ and tag the wheel for the one platform that it runs on."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        if self.target_name != "wheel":
            return
        script = Path(self.root) / "native" / "build.py"
        spec = importlib.util.spec_from_file_location("native_build", script)
        if spec is None or spec.loader is None:
            sys.exit(f"cannot load {script}")
        native_build = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = native_build
        spec.loader.exec_module(native_build)
        native_build.build()
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-linux_x86_64"
