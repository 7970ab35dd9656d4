"""Heavy counts (storms, soaks, fuzzing) scale by ENCLAVIZE_TEST_SCALE: 0.05, or 1.0 in ``make test-long``."""

import os


def scaled(count: int, *, least: int = 1) -> int:
    """Return ``count`` scaled, but at least ``least``."""
    return max(least, int(count * float(os.environ.get("ENCLAVIZE_TEST_SCALE", "0.05"))))
