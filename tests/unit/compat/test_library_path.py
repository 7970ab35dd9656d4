"""Where libraries are looked for, as loaders do it."""

from dataclasses import replace

from support.checked_image import APP, FOO, GLIBC, LOADER, MUSL, codes, elf, folder, program, report


def test_run_paths_are_searched() -> None:
    app = program("bin/app", elf=elf(interpreter=MUSL, needed=("libfoo.so.1",), runpath="$ORIGIN/../opt"))
    assert codes(report(app, LOADER, folder("opt"), replace(FOO, path="opt/libfoo.so.1"))) == []


def test_libraries_are_found_through_the_configuration_of_the_loader() -> None:
    app = program("bin/app", elf=elf(interpreter=GLIBC, needed=("libfoo.so.1",)))
    loader = program("lib64/ld-linux-x86-64.so.2", elf=elf())
    library = replace(FOO, path="srv/lib/libfoo.so.1", elf=elf(soname="libfoo.so.1"))
    conf = program("etc/ld.so.conf", content=b"include /etc/ld.so.conf.d/*.conf\n")
    part = program("etc/ld.so.conf.d/x.conf", content=b"# a comment\n/srv/lib\n")
    folders = tuple(map(folder, ("etc", "etc/ld.so.conf.d", "srv", "srv/lib")))
    assert codes(report(app, loader, library, conf, part, *folders)) == []
    assert codes(report(app, loader, library, conf, *folders)) == [("OCC007", "error")]
    endless = replace(conf, content=b"include /etc/ld.so.conf\n")
    assert codes(report(app, loader, library, endless, *folders)) == [("OCC007", "error")]


def test_preloaded_libraries_belong_to_the_program_but_may_be_missing() -> None:
    app = replace(APP, elf=elf(interpreter=MUSL))
    preload = {"LD_PRELOAD": "/usr/lib/libfoo.so.1:libgone.so /usr/lib/libfoo.so.1"}
    calling = replace(FOO, elf=elf(soname="libfoo.so.1", imports=("fanotify_init",)))
    found = report(app, LOADER, calling, environment=preload)
    assert codes(found) == [("OCC022", "note")]
    assert codes(report(app, LOADER, environment=preload)) == []
    needs = replace(FOO, elf=elf(soname="libfoo.so.1", needed=("libgone2.so",)))
    assert codes(report(app, LOADER, needs, environment=preload)) == [("OCC007", "error")]


def test_endless_variables_are_cut_short() -> None:
    many = ":".join(f"/{number}" for number in range(200_000))
    app = replace(APP, elf=elf(interpreter=MUSL))
    paths = {"PATH": f"/bin:{many}", "LD_LIBRARY_PATH": many, "LD_PRELOAD": many}
    assert codes(report(app, LOADER, environment=paths)) == []


def test_only_rpath_is_inherited_in_glibc_and_both_in_musl() -> None:
    middle = program("opt/libmid.so", elf=elf(soname="libmid.so", needed=("libfoo.so.1",)))
    foo = replace(FOO, path="opt/libfoo.so.1", elf=elf(soname="libfoo.so.1"))
    glibc_loader = program("lib64/ld-linux-x86-64.so.2", elf=elf())
    for interpreter, loader, paths, expected in (
        (GLIBC, glibc_loader, {"runpath": "/opt"}, [("OCC007", "error")]),
        (GLIBC, glibc_loader, {"rpath": "/opt"}, []),
        (MUSL, LOADER, {"runpath": "/opt"}, []),
    ):
        app = program("bin/app", elf=elf(interpreter=interpreter, needed=("libmid.so",), **paths))
        assert codes(report(app, loader, middle, foo, folder("opt"))) == expected


def test_of_very_many_folders_the_first_are_searched() -> None:
    names = [f"opt/{number}" for number in range(600)]
    folders = (folder("opt"), *map(folder, names))
    paths = ":".join(f"/{name}" for name in names)
    app = program("bin/app", elf=elf(interpreter=MUSL, needed=("libfoo.so.1",), runpath=paths))
    assert codes(report(app, LOADER, *folders, replace(FOO, path="opt/200/libfoo.so.1"))) == []
    assert codes(report(app, LOADER, *folders, replace(FOO, path="opt/500/libfoo.so.1"))) == [
        ("OCC007", "error")
    ]


def test_libraries_of_another_class_are_passed_over() -> None:
    other = replace(FOO, path="lib/libfoo.so.1", elf=elf(bits=32, machine=3))
    assert codes(report(APP, LOADER, other, FOO)) == [("OCC031", "note")]
    assert ("OCC007", "error") in codes(report(APP, LOADER, other))
