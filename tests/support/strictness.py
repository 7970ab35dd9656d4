"""ENCLAVIZE_TEST_STRICT=1: tests run their enclaves in strict simulation (docs/hardware.md)."""

import os

_IS_STRICT = os.environ.get("ENCLAVIZE_TEST_STRICT") == "1"

ENCLU = "trap" if _IS_STRICT else "gate"
"""For the runelet."""
SIMULATE = "--simulate=strict" if _IS_STRICT else "--simulate"
"""For ``enclavize run``."""
PATIENCE = 5 if _IS_STRICT else 1
"""How much longer one waits before something hangs: each ENCLU is a signal, and a fork makes thousands."""
BUNDLE_ENVIRONMENT = (f"ENCLAVE_RUNTIME_ARGS=enclu={ENCLU}",) if _IS_STRICT else ()
"""For the process of a bundle under rune."""


def refusals(errors: bytes) -> list[str]:
    """Return what strict simulation says that it has refused inside, of what came on standard error."""
    lines = errors.decode(errors="replace").splitlines()
    return [line for line in lines if line.startswith("enclavize: strict simulation: ")]
