"""The part of the corpus that is made wrong on purpose: no LibOS, and no Linux, runs these."""

from __future__ import annotations

from integration.compat.ingredients import (
    BUILT_IN,
    HELLO,
    alpine,
    altered,
    compiled,
    linked,
    musl,
    text,
)
from support.corpus import image

NEEDS_LIBRARY = "int gone(void);\nint main(void) { return gone(); }\n"
LIBRARY = "int gone(void) { return 0; }\n"
ENDLESS = "void _start(void) { for (;;) {} }"
FREESTANDING = ("-static", "-nostdlib", "-ffreestanding")
"""Without a C library: for another architecture zig would compile a whole one."""

# fmt: off
# The columns are those of the other tables.
BROKEN = (
    image(
        "script-of-windows", "/run.sh", "sum",
        "002     002     002     002     002     002     002     002     002 002",
        musl, alpine, text("run.sh", BUILT_IN.replace("\n", "\r\n")),
    ),
    image(
        "script-without-interpreter", "/run.py", "hello",
        "002     002     002     002     002     002     002     002     002 002",
        musl, alpine, text("run.py", "#!/usr/bin/python3\nprint('hello')\n"),
    ),
    image(
        "text-without-interpreter", "/run", "hello",
        "014     014     014     014     014     014     014     014     014 014",
        musl, alpine, text("run", "echo hello\n"),
    ),
    image(
        "no-such-program", "server --port 80", "",
        "002     002     002     002     002     002     002     002     002 002",
        musl, alpine,
    ),
    image(
        "aarch64", "app", "hello",
        "004     004     004     004     004     004     004     004     004 004",
        compiled(ENDLESS, "bin/app", *FREESTANDING, target="aarch64-linux-none"),
    ),
    image(
        "i386", "app", "hello",
        "004     004     004     004     004     004     004     004     004 004",
        compiled(ENDLESS, "bin/app", *FREESTANDING, target="x86-linux-none"),
    ),
    image(
        "object-file", "app", "hello",
        "014     014     014     014     014     014     014     014     014 014",
        compiled(HELLO, "bin/app", "-c"),
    ),
    image(
        "cut-short", "app", "hello",
        "008+025 008+025 008+025 008+025 008+025 008+025 008+025 025     025 025",
        altered(compiled(HELLO, "bin/app", "-static"), lambda data: data[: len(data) // 2]),
    ),
    image(
        "library-missing", "app", "",
        "007     007     007     007     007     007     007     007     007 007",
        musl, linked(NEEDS_LIBRARY, LIBRARY, "bin/app"),
    ),
)
# fmt: on
