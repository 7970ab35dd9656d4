"""Odd ways to say how a program is run: configurations, users, working directories, file names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enclavize.oci import media_types
from integration.differential.samples import Kind
from support.images import (
    Layer,
    Member,
    build_image,
    build_index,
    build_layer,
    directory,
    file,
    hard_link,
    symlink,
    tar_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from integration.differential.samples import Laboratory, Layout

_PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:App:/home/app:/bin/sh\n"
_GROUP = "root:x:0:\nstaff:x:50:app\napp:x:1001:\nother:x:60:root,app\n"
ACCOUNTS = [directory("etc"), file("etc/passwd", _PASSWD), file("etc/group", _GROUP)]
_HELLO = ["/bin/hello"]


def started(name: str, *members: Member, top: Mapping[str, Any] | None = None, **config: object) -> Kind:
    """Return a kind with more members, and changes of ``config`` and of the configuration's top."""

    def make(laboratory: Laboratory) -> Layout:
        layers = [build_layer(laboratory.files), *([build_layer(members)] if members else [])]
        execution = {**laboratory.execution, **config}
        return laboratory.layout(build_image(layers, config=execution, change_config=top))

    return Kind(name=f"started: {name}", writer="Python", make=make)


def upper(name: str, *layers: Layer | Sequence[Member]) -> Kind:
    """Return a kind with more layers."""

    def make(laboratory: Laboratory) -> Layout:
        return laboratory.layout(build_image([laboratory.files, *layers], config=laboratory.execution))

    return Kind(name=f"started: {name}", writer="Python", make=make)


def _many_platforms(laboratory: Laboratory) -> Layout:
    """An index as BuildKit writes it, and of images for Windows."""
    images = [
        build_image([laboratory.files], config={"Entrypoint": ["/bin/other"]}, platform=platform)
        for platform in (("windows", "amd64"), ("linux", "arm64"), ("linux", "s390x"))
    ]
    right = build_image([laboratory.files], config=laboratory.execution)
    return laboratory.layout(build_index([*images, right], attestations=True))


def _nondistributable(media_type: str) -> Kind:
    def make(laboratory: Laboratory) -> Layout:
        layer = build_layer(laboratory.files)
        foreign = Layer(blob=layer.blob, media_type=media_type, diff_id=layer.diff_id)
        return laboratory.layout(build_image([foreign], config=laboratory.execution))

    return Kind(name=f"started: {media_type.rpartition('/')[2]}", writer="Python", make=make)


def _deep(count: int) -> list[Member]:
    return [directory("/".join(["d"] * depth)) for depth in range(1, count + 1)]


_NULLS = dict.fromkeys(
    ("Cmd", "User", "Volumes", "Labels", "OnBuild", "ExposedPorts", "Healthcheck", "Shell", "StopSignal")
)
_SAME = [directory("again"), file("again/x", "1\n")]

KINDS = [
    started("nothing odd"),
    started("a working directory that the user may not enter", *ACCOUNTS, directory("srv", 0o700),
            WorkingDir="/srv", User="app"),
    started("one below what the user may not enter", *ACCOUNTS, directory("srv", 0o700), directory("srv/in"),
            WorkingDir="/srv/in", User="1000"),
    started("a working directory that is missing", WorkingDir="/no/where"),
    started("one that is missing, for another user", *ACCOUNTS, WorkingDir="/no/where", User="app"),
    started("one behind a link to nothing", symlink("way", "made/here"), WorkingDir="/way"),
    started("one through a link", symlink("way", "srv"), WorkingDir="/way"),
    started("a relative working directory", WorkingDir="srv"),
    started("one with dots", WorkingDir="/srv/../bin/./"),
    started("one that is a file", WorkingDir="/bin/hello"),
    started("a user by name", *ACCOUNTS, User="app"),
    started("a user by number", *ACCOUNTS, User="1000"),
    started("a user with a group", *ACCOUNTS, User="app:staff"),
    started("numbers that nobody has", User="4242:4343"),
    started("a number that nobody has, and no group", User="4242"),
    started("a user that does not exist", *ACCOUNTS, User="nobody-here"),
    started("a group that does not exist", *ACCOUNTS, User="app:nobody-here"),
    started("accounts through links", directory("etc"), directory("usr"), file("usr/p", _PASSWD),
            symlink("etc/passwd", "../usr/p"), file("usr/g", _GROUP), hard_link("etc/group", "usr/g"),
            User="app"),
    started("no command", Cmd=None),
    started("an entrypoint of one empty text", Entrypoint=[""], Cmd=["/bin/hello", "x"]),
    started("a command alone", Entrypoint=None, Cmd=["/bin/hello", "x"]),
    started("a command that is one text", Cmd="one text"),
    started("empty arguments", Cmd=["", "x", ""]),
    started("arguments that are no ASCII", Cmd=["\u00e9", "a b", "\n", "\U0001f600"]),
    started("no entrypoint at all", Entrypoint=None, Cmd=None),
    started("a program that is not there", Entrypoint=["/bin/nothing"]),
    started("a program that may not be run", file("bin/data", "x"), Entrypoint=["/bin/data"]),
    started("a program found by PATH", Env=["PATH=/nowhere:/bin"], Entrypoint=["hello"]),
    started("a program by a relative path", Entrypoint=["bin/hello"], WorkingDir="/"),
    started("a program through links", symlink("bin/a", "b"), symlink("bin/b", "/bin/hello"),
            Entrypoint=["/bin/a"]),
    started("a script", file("bin/script", "#!/bin/hello -x\n", 0o755), Entrypoint=["/bin/script"]),
    started("variables twice, without value, empty", Env=["A=1", "B=2", "A=3", "C", "D=", "PATH=/bin"]),
    started("HOME of the user", *ACCOUNTS, User="app", Env=[]),
    started("null for members", **_NULLS),
    started("null for the environment", Env=None),
    started("null for a label and a port", Labels={"a": None}, ExposedPorts=None),
    started("labels that are no texts", Labels={"a": 1}),
    started("a stop signal that is none", StopSignal="SIGNOTHING"),
    started("a health check that is none", Healthcheck={"Test": ["WHAT"]}),
    started("a health check", Healthcheck={"Test": ["CMD", "/bin/hello"], "Interval": 10**9}),
    started("members that nobody knows", Nonsense={"a": [1]}, OnBuild=["RUN x"], ArgsEscaped=True),
    started("volumes that no layer has", Volumes={"/data": {}, "/var/lib/x": {}, "/srv": {}}),
    started("a volume behind a link", symlink("way", "srv"), Volumes={"/way/in": {}}),
    started("no times, no history", top={"created": None, "history": None}),
    started("a time that is none", top={"created": "yesterday"}),
    started("history of empty layers", top={"history": [{"empty_layer": True}, {"created_by": "x"}]}),
    started("another architecture in the configuration", top={"architecture": "arm64"}),
    started("a variant in the configuration", top={"variant": "v3"}),
    started("no architecture", top={"architecture": "", "os": ""}),
    started("another system", top={"os": "windows"}),
    Kind(name="started: an index of many platforms", writer="Python", make=_many_platforms),
    _nondistributable(media_types.NONDISTRIBUTABLE_LAYER_GZIP),
    _nondistributable(media_types.DOCKER_FOREIGN_LAYER_GZIP),
    upper("an empty layer", build_layer(b"", "none")),
    upper("an empty layer, compressed", build_layer(b"")),
    upper("a layer without members", []),
    upper("a layer of zeros", build_layer(bytes(10240))),
    upper("a layer twice", _SAME, _SAME),
    upper("twenty layers", *([file(f"srv/{number}", str(number))] for number in range(20))),
    upper("root members with dots", [directory("./"), directory("./srv"), file("./srv/y", "1")]),
    upper("a root with its own mode and owner", [directory(".", 0o700, uid=5, gid=6)]),
    upper("absolute names", [directory("/opt"), file("/opt/x", "1")]),
    upper("a hard link to a lower layer", [hard_link("srv/h", "srv/x")]),
    upper("a hard link to what a lower layer has hidden", [file("srv/.wh.x")], [hard_link("srv/h", "srv/x")]),
    upper("long names", [file("n" * 255, "1"), *_deep(60), file("/".join(["d"] * 60) + "/" + "f" * 200)]),
    upper("a name that is too long", [file("n" * 256, "1")]),
    upper("names that are no UTF-8", build_layer(tar_of([file("srv/\udcff\udcfe", "1")]))),
    upper("names with blanks and control characters", [file("srv/a b\n\t\x01", "1"), file("srv/\\", "2")]),
    upper("setuid, setgid, sticky", [file("srv/s", "1", 0o6755), directory("srv/t", 0o1777)]),
    upper("times of all kinds", [file("a", mtime=0), file("b", mtime=1 << 31), file("c", mtime=1 << 33)]),
    upper("owners beyond 2 MiB", [file("a", uid=3_000_000, gid=4_000_000_000)]),
    upper("devices and pipes", [
        directory("nodes"), Member(path="nodes/null", type=b"3", device=(1, 3), mode=0o666),
        Member(path="nodes/disk", type=b"4", device=(8, 1)), Member(path="nodes/pipe", type=b"6"),
    ]),
    upper("links in circles and to nowhere", [symlink("a", "b"), symlink("b", "a"), symlink("c", "/no/x")]),
    upper("a file, then a folder, then a link", [file("z", "1")], [directory("z")], [symlink("z", "srv")]),
    upper("AUFS' own names", [file(".wh..wh.orph"), file(".wh..wh.plnk")]),
]  # fmt: skip
