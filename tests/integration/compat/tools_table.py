"""Programs that do their work alone, of the releases of Debian whose glibc is nearest to Occlum's.

Debian 11 has glibc 2.31, as Occlum for Ubuntu 20.04 has; most programs of Debian 12 need 2.34, and Occlum for
Ubuntu 22.04 has 2.35. The layers are few and shared.
"""

from __future__ import annotations

import functools

from integration.compat.ingredients import DEBIAN_12, link, packages, text
from support.corpus import image

DEBIAN_11 = functools.cache(
    packages(
        "bullseye", "coreutils", "base-files", "sqlite3", "jq", "openssl", "perl-base", "gawk", "redis-tools",
        "bc", "xz-utils", "zstd", "file",
    )
)  # fmt: skip

# fmt: off
# The columns are those of the other tables.
TOOLS = (
    image(
        "sed-debian-12", "sed -n s/^ID=//p /usr/lib/os-release", "debian",
        "006     016     016     016     016     016     .       .       .   .",
        DEBIAN_12,
    ),
    image(
        "grep-debian-12", "grep ^ID= /usr/lib/os-release", "ID=debian",
        "006     016     016     016     016     016     .       .       .   .",
        DEBIAN_12,
    ),
    image(
        "tar-debian-12", "tar -cf - /usr/lib/os-release", "ustar",
        "006     016     016     016     016     016     .       .       .   .",
        DEBIAN_12,
    ),
    image(
        "gzip-debian-12", "gzip --version", "gzip 1.12",
        "006     016     016     016     016     016     .       .       .   .",
        DEBIAN_12,
    ),
    image(
        "sha256sum-debian-12", "sha256sum /usr/lib/os-release", "os-release",
        "006     016     016     016     016     016     .       .       .   .",
        DEBIAN_12,
    ),
    image(
        "find-debian-12", "find /usr/lib -maxdepth 1 -name os-release", "/usr/lib/os-release",
        "006     016     016     016     016     016     .       .       .   .",
        DEBIAN_12,
    ),
    # Built before Debian 12 was: it needs glibc 2.29.
    image(
        "mawk-debian-12", "mawk 'BEGIN { print 6 * 7 }'", "42",
        "006     016     016     .       .       .       .       .       .   .",
        DEBIAN_12,
    ),
    image(
        "sort-debian-12", "sort -r /usr/lib/os-release", "VERSION_ID",
        "006     016     016     016     016     016     .       .       .   .",
        DEBIAN_12,
    ),
    image(
        "diff-debian-12", "diff /etc/os-release /usr/lib/os-release", "",
        "006     016     016     016     016     016     .       .       .   .",
        DEBIAN_12,
    ),
    image(
        "dpkg-debian-12", "dpkg --print-architecture", "amd64",
        "006     016     016     016     016     016     .       .       .   .",
        DEBIAN_12,
    ),
    image(
        "lua-debian-12", "lua5.4 -e 'print(6 * 7)'", "42",
        "006     016     016     016     016     016     .       .       .   .",
        packages("bookworm", "lua5.4", "base-files"),
    ),
    image(
        "sqlite-debian-11", "sqlite3 :memory: 'select 6 * 7'", "42",
        "006     016     016     .       .       .       .       .       .   .",
        DEBIAN_11,
    ),
    image(
        "jq-debian-11", "jq -n '6 * 7'", "42",
        "006     016     016     .       .       .       .       .       .   .",
        DEBIAN_11,
    ),
    image(
        "openssl-debian-11", "openssl dgst -sha256 /usr/lib/os-release", "SHA256",
        "006     .       .       .       .       .       .       .       .   .",
        DEBIAN_11,
    ),
    image(
        "perl-debian-11", "perl -e 'print 6 * 7'", "42",
        "006     016     016     .       .       .       .       .       .   .",
        DEBIAN_11,
    ),
    image(
        "gawk-debian-11", "gawk 'BEGIN { print 6 * 7 }'", "42",
        "006     016     016     .       .       .       .       .       .   .",
        DEBIAN_11,
    ),
    image(
        "bc-debian-11", "bc -q /sum.bc", "42",
        "006     .       .       .       .       .       .       .       .   .",
        DEBIAN_11, text("sum.bc", "6 * 7\nquit\n"),
    ),
    image(
        "xz-debian-11", "xz -c /usr/lib/os-release", "7zXZ",
        "006     .       .       .       .       .       .       .       .   .",
        DEBIAN_11,
    ),
    image(
        "zstd-debian-11", "zstd --version", "zstd",
        "006     .       .       .       .       .       .       .       .   .",
        DEBIAN_11,
    ),
    image(
        "file-debian-11", "file /usr/bin/bc", "ELF 64-bit",
        "006     .       .       .       .       .       .       .       .   .",
        DEBIAN_11,
    ),
    image(
        "factor-debian-11", "factor 42", "42: 2 3 7",
        "006     .       .       .       .       .       .       .       .   .",
        DEBIAN_11,
    ),
    image(
        "date-debian-11", "date -u -d @0 +%Y", "1970",
        "006     .       .       .       .       .       .       .       .   .",
        DEBIAN_11,
    ),
    image(
        "sort-debian-11", "sort -r /usr/lib/os-release", "VERSION_ID",
        "006     .       .       .       .       .       .       .       .   .",
        DEBIAN_11,
    ),
    image(
        "sha256sum-debian-11", "sha256sum /usr/lib/os-release", "os-release",
        "006     .       .       .       .       .       .       .       .   .",
        DEBIAN_11,
    ),
    image(
        "redis-debian-11", "redis-server --save ''", "Ready to accept",
        "006     016     016     .       .       .       .       .       .   .",
        DEBIAN_11, link("usr/bin/redis-server", "redis-check-rdb"),
        ExposedPorts={"6379/tcp": {}},
    ),
    image(
        "java-debian-11", "/usr/lib/jvm/java-11-openjdk-amd64/bin/java --version", "openjdk 11",
        "006     .       .       .       .       .       .       .       .   .",
        packages("bullseye", "openjdk-11-jre-headless", "base-files"),
    ),
)
# fmt: on
