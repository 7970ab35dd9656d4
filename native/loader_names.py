"""Write the table of dangerous variables for the C compiler; ``make loader-names`` runs this.

The LibOS holds the same rules as the command line: ``enclavize/libos/loader_names.py`` is where they stand.
"""

from __future__ import annotations

from pathlib import Path

from enclavize.libos.loader_names import RULES

NATIVE = Path(__file__).resolve().parent
TABLE = NATIVE / "libos" / "process" / "loader_names.def"
HEAD = """\
/* Patterns of variables that the host may set only where they were allowed as unsafe; see policy.c.
 * Written by native/loader_names.py from enclavize/libos/loader_names.py. LOADER_NAME(pattern, any case) */
"""


def table() -> str:
    """Return the rows."""
    rows = [
        f'LOADER_NAME("{pattern}", {"true" if rule.any_case else "false"})'
        for rule in RULES
        for pattern in rule.patterns
    ]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table())
