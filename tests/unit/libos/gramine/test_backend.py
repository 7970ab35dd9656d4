"""The instance that a toolchain and an image give; nothing of the toolchain is run."""

from __future__ import annotations

import hashlib
import io
import tomllib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import EnclavizeError, UsageError
from enclavize.libos.base import InstanceOptions, Resources
from enclavize.libos.gramine import files
from enclavize.libos.gramine.backend import GramineBackend, expressible_policy
from enclavize.libos.gramine.format import policy_of
from enclavize.libos.gramine.mounts import memory_mounts
from enclavize.libos.toolchain.model import Toolchain, ToolchainFile
from enclavize.progress import Reporter
from enclavize.progress.events import EventKind
from enclavize.rootfs.index import index_image
from enclavize.tee.policy import AllowedVariable, Policy, Volume
from support.images import build_image, directory, file, symlink, write_layout
from support.indexing import cache_of
from support.programs import zig_cc
from support.vectors import GRAMINE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enclavize.oci.image import Image
    from enclavize.progress.events import Event
    from enclavize.tee.instance import Instance, InstanceFile
    from support.images import Member

OPTIONS = InstanceOptions(
    policy=Policy(), resources=Resources(), isv_prod_id=1, isv_svn=2, debuggable=False, table={}
)
LIBC = b"\0GLIBC_2.39\0GLIBC_2.40\0GLIBC_2.5\0/opt/gramine/share/zoneinfo\0/opt/gramine/etc/localtime\0"
LOADER = b"\0/opt/gramine/etc/ld.so.cache\0"


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """Compile a loader, and programs for an image."""
    base = tmp_path_factory.mktemp("programs")
    (base / "main.c").write_text("int main(void) { return 0; }\n")
    for name, options in {
        "glibc": ("-target", "x86_64-linux-gnu.2.17", "-pie"),
        "newer": ("-target", "x86_64-linux-gnu.2.36", "-pie"),
        "static": ("-target", "x86_64-linux-musl", "-static"),
    }.items():
        zig_cc(*options, "-s", base / "main.c", "-o", base / name)
    return {path.name: path.read_bytes() for path in base.iterdir()}


@pytest.fixture
def backend(programs: Mapping[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GramineBackend:
    """Return a backend with a toolchain in memory."""
    runelet = tmp_path / "runelet-gramine"
    runelet.write_bytes(b"a stand-in")
    monkeypatch.setattr(files, "native_file", lambda _name: runelet)
    return GramineBackend(toolchain(programs))


def toolchain(
    programs: Mapping[str, bytes], version: str = "1.9", more: Mapping[str, bytes] | None = None
) -> Toolchain:
    contents = {
        "libsysdb.so": b"libos",
        "direct/libpal.so": b"pal",
        "direct/loader": b"pal",
        "sgx/libpal.so": (GRAMINE / "libpal/standin_a.so").read_bytes(),
        "sgx/loader": programs["glibc"],
        "host/ld-linux-x86-64.so.2": b"\0/etc/ld.so.preload\0",
        "host/libc.so.6": b"libc",
        "runtime/glibc/libc.so.6": LIBC,
        "runtime/glibc/ld-linux-x86-64.so.2": LOADER,
        "runtime/glibc/ld.so": b"ld",
        "runtime/glibc/libthread_db.so.1": b"for debuggers",
        **(more or {}),
    }
    return Toolchain(
        libos="gramine",
        version=version,
        origin="a test",
        files={
            path: ToolchainFile(
                path=path,
                mode=0o755,
                size=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                open=partial(io.BytesIO, data),
            )
            for path, data in contents.items()
        },
    )


class Bench:
    """Makes instances and keeps what was warned of."""

    def __init__(self, folder: Path, backend: GramineBackend) -> None:
        self.folder, self.backend = folder, backend
        self.warnings: list[str] = []

    def note(self, event: Event) -> None:
        if event.kind is EventKind.WARNING:
            self.warnings.append(event.message)

    def instance(
        self, members: list[Member], config: Mapping[str, Any], options: InstanceOptions = OPTIONS
    ) -> Instance:
        image = self.image(members, config)
        rootfs = index_image(image, cache=cache_of(self.folder), reporter=Reporter())
        return self.backend.instance(rootfs, image, options, self.folder, Reporter(self.note))

    def image(self, members: list[Member], config: Mapping[str, Any]) -> Image:
        from enclavize.oci.location import parse_location
        from enclavize.oci.resolve import resolve

        number = len(list(self.folder.glob("image*")))
        layout = write_layout(self.folder / f"image{number}", {"1": build_image([members], config=config)})
        return resolve(parse_location(f"oci:{layout}:1"), cache=cache_of(self.folder), reporter=Reporter())


@pytest.fixture
def bench(tmp_path: Path, backend: GramineBackend) -> Bench:
    return Bench(tmp_path, backend)


def manifest_of(instance: Instance) -> dict[str, Any]:
    found = next(item for item in instance.files if item.path == "instance/app.manifest.sgx")
    return tomllib.loads(content_of(found).decode())


def content_of(item: InstanceFile) -> bytes:
    with item.open() as stream:
        return stream.read()


def mounts_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    return {mount["path"]: mount.get("uri", "") for mount in manifest["fs"]["mounts"]}


@pytest.mark.parametrize("version", ["1.8", "1.8.1", "1.9", "1.9.1"])
def test_known_versions_are_taken(programs: Mapping[str, bytes], version: str) -> None:
    assert GramineBackend(toolchain(programs, version)).version == version


def test_a_gramine_that_wants_launch_tokens_is_refused(programs: Mapping[str, bytes]) -> None:
    message = b"Cannot open token %s. Use gramine-sgx-get-token on the runtime host to create it."
    with pytest.raises(UsageError, match="old driver"):
        GramineBackend(toolchain(programs, "1.8", {"sgx/loader": message}))


@pytest.mark.parametrize("place", ["mounts", "root"])
def test_a_key_that_a_release_does_not_have_is_refused(
    bench: Bench, programs: Mapping[str, bytes], place: str
) -> None:
    mount = {"type": "encrypted", "uri": "file:/a", "key_name": "k", "enable_recovery": True}
    table = {"fs": {"mounts": [{**mount, "path": "/a"}]} if place == "mounts" else {"root": mount}}
    members, config = [file("app", programs["static"], 0o755)], {"Entrypoint": ["/app"]}
    bench.backend = GramineBackend(toolchain(programs, "1.8"))
    with pytest.raises(UsageError, match=r"enable_recovery is unknown to Gramine 1\.8"):
        bench.instance(members, config, replace(OPTIONS, table=table))


@pytest.mark.parametrize("version", ["1.7", "1.10", "1.9post", "2.0", "1.9~rc1"])
def test_other_versions_are_refused(programs: Mapping[str, bytes], version: str) -> None:
    with pytest.raises(UsageError, match=f"has Gramine {version}"):
        GramineBackend(toolchain(programs, version))


def test_the_shared_layer_has_what_is_needed_and_no_more(bench: Bench, programs: Mapping[str, bytes]) -> None:
    instance = bench.instance([file("app", programs["static"], 0o755)], {"Entrypoint": ["/app"]})
    paths = [item.path for item in instance.shared_files]
    assert paths == sorted(paths)
    assert "gramine/runtime/glibc/libc.so.6" in paths
    assert "gramine/runtime/glibc/ld.so" not in paths
    assert "gramine/runtime/glibc/libthread_db.so.1" not in paths
    loader = next(item for item in instance.shared_files if item.path == "gramine/sgx/loader")
    content = content_of(loader)
    assert len(content) == loader.size
    assert b"/.enclave/gramine/host/ld-linux-x86-64.so.2\0" in content
    interpreter = next(
        item for item in instance.shared_files if item.path.endswith("host/ld-linux-x86-64.so.2")
    )
    assert content_of(interpreter) == b"\0/.enclave/.preload\0"
    assert all(item.size == len(content_of(item)) for item in (*instance.shared_files, *instance.files))


def test_missing_files_of_the_toolchain_are_named(bench: Bench, programs: Mapping[str, bytes]) -> None:
    whole = toolchain(programs)
    for path in ("sgx/loader", "sgx/libpal.so", "libsysdb.so", "host/ld-linux-x86-64.so.2", "direct/loader"):
        bench.backend = GramineBackend(
            replace(whole, files={name: found for name, found in whole.files.items() if name != path})
        )
        with pytest.raises(UsageError, match=f"has no {path}"):
            bench.instance([file("app", programs["static"], 0o755)], {"Entrypoint": ["/app"]})


def glibc_image(programs: Mapping[str, bytes]) -> list[Member]:
    return [
        directory("lib64"),
        file("lib64/ld-linux-x86-64.so.2", programs["static"], 0o755),
        directory("usr/lib"),
        file("app", programs["newer"], 0o755),
    ]


def test_gramines_libc_is_used_unless_the_image_needs_a_newer_one(
    bench: Bench, programs: Mapping[str, bytes]
) -> None:
    manifest = manifest_of(bench.instance(glibc_image(programs), {"Entrypoint": ["/app"]}))
    assert "LD_LIBRARY_PATH" not in manifest["loader"]["env"]
    assert mounts_of(manifest)["/lib64/ld-linux-x86-64.so.2"] == (
        "file:/.enclave/gramine/runtime/glibc/ld-linux-x86-64.so.2"
    )
    uris = [item["uri"] for item in manifest["sgx"]["trusted_files"]]
    assert "file:/.enclave/gramine/runtime/glibc/libc.so.6" in uris
    assert bench.warnings == []

    old = toolchain(programs, more={"runtime/glibc/libc.so.6": b"\0GLIBC_2.2.5\0GLIBC_2.30\0"})
    bench.backend = GramineBackend(old)
    manifest = manifest_of(bench.instance(glibc_image(programs), {"Entrypoint": ["/app"]}))
    assert "LD_LIBRARY_PATH" not in manifest["loader"]["env"]
    assert not [uri for uri in mounts_of(manifest).values() if "gramine" in uri]
    assert not [item for item in manifest["sgx"]["trusted_files"] if ".enclave/gramine" in item["uri"]]
    assert "the image needs glibc 2.34, Gramine has 2.30" in bench.warnings[0]


def test_gramines_libc_stands_for_the_images_and_reads_its_data(
    bench: Bench, programs: Mapping[str, bytes]
) -> None:
    members = [
        *glibc_image(programs),
        directory("usr/share/zoneinfo"),
        file("usr/share/zoneinfo/UTC", "zone"),
        directory("etc"),
        symlink("etc/localtime", "/usr/share/zoneinfo/UTC"),
        file("usr/lib/libc.so.6", programs["glibc"]),
        file("usr/lib/libown.so.1", programs["glibc"]),
        symlink("lib", "usr/lib"),
    ]
    instance = bench.instance(members, {"Entrypoint": ["/app"], "Env": ["LD_LIBRARY_PATH=/opt/lib"]})
    manifest = manifest_of(instance)
    assert manifest["loader"]["env"]["LD_LIBRARY_PATH"] == "/.enclave/gramine/runtime/glibc:/opt/lib"
    mounts = mounts_of(manifest)
    exchanged = {path for path, uri in mounts.items() if uri.endswith("/runtime/glibc/libc.so.6")}
    assert exchanged == {"/lib/libc.so.6", "/usr/lib/libc.so.6"}
    assert mounts["/opt/gramine/share/zoneinfo"] == "file:/usr/share/zoneinfo"
    assert mounts["/opt/gramine/etc/localtime"] == "file:/etc/localtime"
    assert mounts["/opt/gramine/etc/ld.so.cache"] == "file:/.enclave/instance/ld.so.cache"
    cache = next(content_of(item) for item in instance.files if item.path == "instance/ld.so.cache")
    assert b"\0libown.so.1\0/lib/libown.so.1\0" in cache
    trusted = {item["uri"]: item["sha256"] for item in manifest["sgx"]["trusted_files"]}
    assert trusted["file:/.enclave/instance/ld.so.cache"] == hashlib.sha256(cache).hexdigest()


def test_nothing_is_mounted_where_the_user_mounts_something_or_the_image_has_files(
    bench: Bench, programs: Mapping[str, bytes]
) -> None:
    mount = {"type": "tmpfs", "path": "/opt/gramine/share/zoneinfo"}
    members = [
        *glibc_image(programs),
        *map(directory, ("opt", "opt/gramine", "opt/gramine/etc", "usr/share", "usr/share/zoneinfo", "etc")),
        file("usr/share/zoneinfo/UTC", "zone"),
        file("opt/gramine/etc/localtime", "its own"),
        file("etc/localtime", "zone"),
    ]
    table = {"fs": {"mounts": [mount]}}
    instance = bench.instance(members, {"Entrypoint": ["/app"]}, replace(OPTIONS, table=table))
    paths = [found["path"] for found in manifest_of(instance)["fs"]["mounts"]]
    assert paths.count("/opt/gramine/share/zoneinfo") == 1
    assert "/opt/gramine/etc/localtime" not in paths


def zones(link: str = "../usr/share/zoneinfo/Europe/Berlin") -> list[Member]:
    folders = ("etc", "usr", "usr/share", "usr/share/zoneinfo", "usr/share/zoneinfo/Europe")
    zone = file("usr/share/zoneinfo/Europe/Berlin", "zone")
    return [*map(directory, folders), zone, symlink("etc/localtime", link)]


def zone_told(bench: Bench, members: list[Member], options: InstanceOptions = OPTIONS, **config: Any) -> Any:
    instance = bench.instance(members, {"Entrypoint": ["/app"], **config}, options)
    return manifest_of(instance)["loader"]["env"].get("TZ")


def test_programs_learn_the_name_of_the_zone_that_the_link_has(
    bench: Bench, programs: Mapping[str, bytes]
) -> None:
    image = glibc_image(programs)
    assert zone_told(bench, [*image, *zones()]) == "Europe/Berlin"
    assert zone_told(bench, [*image, *zones("/usr/share/zoneinfo/Europe/Berlin")]) == "Europe/Berlin"
    assert zone_told(bench, [*image, *zones()], Env=["TZ=Asia/Tokyo"]) == "Asia/Tokyo"


@pytest.mark.parametrize(
    "link",
    ["/usr/share/zoneinfo/Europe/Paris", "/usr/share/zoneinfo/Europe/Berlin/..", "/etc/zone", "localtime"],
)
def test_a_link_that_names_no_zone_of_the_image_gives_no_variable(
    bench: Bench, programs: Mapping[str, bytes], link: str
) -> None:
    assert zone_told(bench, [*glibc_image(programs), *zones(link)]) is None


def test_a_zone_that_is_not_the_images_or_cannot_be_opened_is_not_named(
    bench: Bench, programs: Mapping[str, bytes]
) -> None:
    image = [*glibc_image(programs), *zones()]
    tables: tuple[dict[str, Any], ...] = (
        {"leave-out": ["/usr/share/zoneinfo"]},
        {"fs": {"mounts": [{"type": "chroot", "path": "/etc/localtime", "uri": "file:/host"}]}},
        {"tmpfs": ["/usr/share"]},
    )
    for table in tables:
        assert zone_told(bench, image, replace(OPTIONS, table=table)) is None
    opened = Policy(volumes=(Volume(path="/etc/localtime"),))
    assert zone_told(bench, image, replace(OPTIONS, policy=opened)) is None
    stated = {"loader": {"env": {"TZ": {"value": "UTC"}}}}
    assert zone_told(bench, image, replace(OPTIONS, table=stated)) in ("UTC", {"value": "UTC"})


def test_the_users_lists_of_paths_stand_before_the_images(
    bench: Bench, programs: Mapping[str, bytes]
) -> None:
    table = {"loader": {"env": {"LD_LIBRARY_PATH": "/mine", "PATH": {"value": "/p"}, "A": "b"}}}
    config = {"Entrypoint": ["/app"], "Env": ["PATH=/bin", "A=a", "LD_LIBRARY_PATH=/opt/lib"]}
    instance = bench.instance(glibc_image(programs), config, replace(OPTIONS, table=table))
    environment = manifest_of(instance)["loader"]["env"]
    assert environment["LD_LIBRARY_PATH"] == "/.enclave/gramine/runtime/glibc:/mine:/opt/lib"
    assert (environment["PATH"], environment["A"]) == ("/p:/bin", "b")


def trusting(*files: str | dict[str, str], volumes: tuple[Volume, ...] = ()) -> InstanceOptions:
    return replace(OPTIONS, table={"sgx": {"trusted_files": list(files)}}, policy=Policy(volumes=volumes))


def test_files_that_the_host_brings_are_bound_by_their_hash(
    bench: Bench, programs: Mapping[str, bytes]
) -> None:
    members = [
        file("app", programs["static"], 0o755),
        directory("usr"), directory("usr/share"), directory("usr/share/doc"), directory("etc"),
        file("usr/share/doc/[a]", "kept"), file("usr/share/doc/b", "left out"), file("etc/os-release", ""),
    ]  # fmt: skip
    options = trusting(
        {"uri": "file:/zzz/m.bin", "sha256": "A" * 64}, "file:/usr/share/doc/[a]", "file:/gramine/app_files/x"
    )
    instance = bench.instance(members, {"Entrypoint": ["/app"]}, options)
    manifest = manifest_of(instance)
    listed = [(item["uri"], item["sha256"]) for item in manifest["sgx"]["trusted_files"]]
    assert listed[0] == ("file:/zzz/m.bin", "a" * 64)
    assert listed[1] == ("file:/.enclave/gramine/libsysdb.so", hashlib.sha256(b"libos").hexdigest())
    assert "file:/usr/share/doc/[a]" in dict(listed)
    assert "file:/usr/share/doc/b" not in dict(listed)
    assert instance.policy == policy_of(manifest)
    assert instance.policy.volumes == (Volume(path="/zzz/m.bin", read_only=True, executable=True),)
    assert manifest["sgx"]["allowed_files"] == []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["/app"], "must be file: and an absolute path"),
        (["file:app"], "must be file: and an absolute path"),
        (["file:/nothing"], "it is not in the image"),
        ([{"uri": "file:/app", "sha256": "0" * 64}], "the image has another file there"),
        ([{"uri": "file:/m", "sha256": "0"}], "no SHA-256"),
        (
            [{"uri": "file:/data/m", "sha256": "0" * 64}],
            "with --volume /data Gramine lets the host",
        ),
    ],
)
def test_trusted_files_that_cannot_hold_are_refused(
    bench: Bench, programs: Mapping[str, bytes], files: list[Any], message: str
) -> None:
    options = trusting(*files, volumes=(Volume(path="/data"),))
    with pytest.raises(UsageError, match=message):
        bench.instance([file("app", programs["static"], 0o755)], {"Entrypoint": ["/app"]}, options)


def test_what_is_no_glibc_is_refused(bench: Bench, programs: Mapping[str, bytes]) -> None:
    bench.backend = GramineBackend(toolchain(programs, more={"runtime/glibc/ld-linux-x86-64.so.2": b"ld"}))
    with pytest.raises(UsageError, match=r"names no ld\.so\.cache"):
        bench.instance(glibc_image(programs), {"Entrypoint": ["/app"]})


def test_what_gramine_does_otherwise_is_told(bench: Bench, programs: Mapping[str, bytes]) -> None:
    options = replace(
        OPTIONS,
        policy=Policy(volumes=(Volume(path="/data", read_only=True), Volume(path="/run", executable=True))),
    )
    members = [file("app", programs["static"], 0o755), file("secret", b"x", 0o000)]
    instance = bench.instance(members, {"Entrypoint": ["/app"], "StopSignal": "SIGQUIT"}, options)
    assert [text.split(";")[0].split(":")[0] for text in bench.warnings] == [
        "the image is stopped by signal 3",
        "the program cannot open /secret",
    ]
    assert [text.partition(" Gramine")[0] for text in instance.doubts] == [
        "--volume /data:ro:", "--volume /data:",
    ]  # fmt: skip
    assert instance.policy.volumes[0] == Volume(path="/data", executable=True)
    assert {mount["path"] for mount in manifest_of(instance)["fs"]["mounts"]} == {
        "/tmp",
        "/dev/shm",
        "/etc/hosts",
    }


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (Policy(allow_any_exec=True), "cannot run a second command"),
        (Policy(allowed_exec=(("ls",),)), "cannot run a second command"),
        (Policy(allowed_environment=(AllowedVariable(name="LD_AUDIT"),)), "which C library"),
    ],
)
def test_policies_that_gramine_cannot_keep_are_refused(policy: Policy, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        expressible_policy(policy, debuggable=False)


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        ({"Env": []}, OPTIONS, "names no program"),
        ({"Entrypoint": ["/app"], "User": "nobody"}, OPTIONS, "nobody"),
        ({"Entrypoint": ["/app"], "Env": ["A=\udc80"]}, OPTIONS, "not valid JSON"),
        ({"Cmd": ["/app"]}, replace(OPTIONS, policy=Policy(allow_arguments=True)), "CMD alone"),
    ],
)
def test_images_that_cannot_be_converted_are_refused(
    bench: Bench,
    programs: Mapping[str, bytes],
    config: dict[str, Any],
    options: InstanceOptions,
    message: str,
) -> None:
    with pytest.raises(EnclavizeError, match=message):
        bench.instance([file("app", programs["static"], 0o755)], config, options)


def test_folders_in_memory_give_way_to_files_volumes_and_mounts(bench: Bench) -> None:
    image = bench.image([file("tmp/here", "x"), directory("run/lock"), symlink("srv", "run")], {})
    rootfs = index_image(image, cache=cache_of(bench.folder), reporter=Reporter())

    def paths(
        directory: str, *volumes: str, table: dict[str, Any] | None = None, **more: tuple[str, ...]
    ) -> list[str]:
        given = [Volume(path=path) for path in volumes]
        return [mount.path for mount in memory_mounts(rootfs, directory, given, table or {}, **more)]

    assert paths("/run") == ["/dev/shm", "/run"]
    assert paths("/new/place") == ["/dev/shm", "/new/place", "/run"]
    assert paths("/", of_image=("/data/", "/tmp", "/run/x", "/", "/srv/log")) == [
        "/data",
        "/dev/shm",
        "/run",
        "/srv/log",
    ]
    assert paths("/", "/data", of_image=("/data",), asked=("/tmp",)) == ["/dev/shm", "/run", "/tmp"]
    assert paths("/", "/run/secrets") == ["/dev/shm"]
    assert paths("/", table={"fs": {"mounts": [{"path": "/dev/shm/"}]}}) == ["/run"]
