"""The runelet with a PAL that has no enclave (stub_pal.c), built once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.rune import stub_runelet

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def runelet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stub_runelet(tmp_path_factory.mktemp("runelet") / "runelet")
