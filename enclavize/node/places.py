"""Where things are on a node, unless options say otherwise."""

from pathlib import Path

SOCKET = Path("/run/enclavize-node/socket")
"""native/rune/node.c looks there, too."""

RULES = Path("/etc/rune/convert.d")
CACHE = Path("/var/lib/enclavize/node")
DOCKER_HOST = "unix:///var/run/docker.sock"
