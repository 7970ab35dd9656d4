"""Tools that start others, and maintainer scripts: git, make, find, xargs, tar, dpkg."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from integration.children.conftest import Places

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("script", ["git", "crowd", "build", "packages"])
def test_tools_do_what_they_do_natively(tools: Places, script: str) -> None:
    tools.check("/bin/bash", f"/{script}.sh")
