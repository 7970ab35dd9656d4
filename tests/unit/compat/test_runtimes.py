"""Runtimes of languages are recognised, and get the advice of the LibOS."""

from dataclasses import replace

import pytest

from enclavize.compat.profile import Profile, builtin_profiles
from enclavize.compat.sizes import NEEDS
from support.checked_image import FOO, LOADER, MUSL, STATIC, codes, elf, folder, program, report


def test_go_is_recognised_and_the_remedy_names_its_fork() -> None:
    go = replace(STATIC, elf=elf(type=2, pie=False, static=True, toolchain="go1.22.1"))
    assert codes(report(go)) == [("OCC030", "note")]
    refused = report(go, libos="occlum")
    assert codes(refused) == [("OCC008", "error"), ("OCC030", "note")]
    assert "go1.22.1" in refused.errors[0].message
    assert "occlum-go" in refused.errors[0].remedy
    assert report(go).advice.memory >= 512 << 20


ERTS = ("usr/lib/erlang", "usr/lib/erlang/erts", "usr/lib/erlang/erts/bin")
RUNTIMES = {
    "go": program("bin/server", elf=elf(type=2, pie=False, static=True, toolchain="go1.22.1")),
    "jvm": program("opt/java/bin/java", elf=elf(interpreter=MUSL)),
    "cpython": program("bin/python3.11", elf=elf(interpreter=MUSL)),
    "node": program("bin/node", elf=elf(interpreter=MUSL)),
    "dotnet": program("bin/dotnet", elf=elf(interpreter=MUSL)),
    "erlang": program("usr/lib/erlang/erts/bin/erlexec", elf=elf(interpreter=MUSL)),
    "rust": program("bin/tool", elf=elf(interpreter=MUSL, toolchain="rustc 1.80.0")),
}


@pytest.mark.parametrize("profile", builtin_profiles(), ids=lambda profile: profile.title)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_each_runtime_gets_the_advice_of_each_profile(runtime: str, profile: Profile) -> None:
    entry = RUNTIMES[runtime]
    found = report(entry, LOADER, *map(folder, ("opt", "opt/java", "opt/java/bin", *ERTS)), profile=profile,
                   command=(f"/{entry.path}",))  # fmt: skip
    (note,) = [finding for finding in found.findings if finding.code == "OCC030"]
    assert note.path == entry.path
    assert f" is {runtime}" in note.message
    assert profile.runtimes.of(runtime) in note.message
    need = NEEDS.get(runtime)
    if need:
        assert found.advice.memory >= need.memory
        assert found.advice.threads >= need.threads
        assert any(need.why in reason for reason in found.advice.reasons)


def test_runtimes_are_known_by_their_libraries_too() -> None:
    for name, runtime in (
        ("libjvm.so", "jvm"), ("libpython3.11.so.1.0", "cpython"), ("libnode.so.108", "node"),
        ("libhostfxr.so", "dotnet"),
    ):  # fmt: skip
        app = program("bin/app", elf=elf(interpreter=MUSL, needed=(name,)))
        library = replace(FOO, path=f"usr/lib/{name}", elf=elf(soname=name))
        found = report(app, LOADER, library)
        assert codes(found) == [("OCC030", "note")]
        assert f"/usr/lib/{name} is {runtime}" in found.findings[0].message


def test_an_application_of_dotnet_is_known_by_what_is_beside_it() -> None:
    app = program("bin/app", elf=elf(interpreter=MUSL))
    assert codes(report(app, LOADER)) == []
    for ending in (".dll", ".runtimeconfig.json"):
        assert "dotnet" in report(app, LOADER, program(f"bin/app{ending}")).findings[0].message


def test_base_images_tell_the_version_of_a_runtime() -> None:
    found = report(RUNTIMES["node"], LOADER, command=("node",), environment={"NODE_VERSION": "20.11.1"})
    assert "node 20.11.1" in found.findings[0].message
    found = report(RUNTIMES["node"], LOADER, command=("node",), environment={"NODE_VERSION": "\n"})
    assert "is node; on" in found.findings[0].message
