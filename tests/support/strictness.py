"""ENCLAVIZE_TEST_STRICT=1: tests run their enclaves in strict simulation (docs/hardware.md)."""

import os

_IS_STRICT = os.environ.get("ENCLAVIZE_TEST_STRICT") == "1"

ENCLU = "trap" if _IS_STRICT else "gate"
"""For the runelet."""
SIMULATE = "--simulate=strict" if _IS_STRICT else "--simulate"
"""For ``enclavize run``."""
