"""``enclavize setup``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from enclavize.node.edit import Edit
    from enclavize.node.runtime import Runtime

setup = typer.Typer(
    help="Tell container engines of rune, and of SGX devices.", no_args_is_help=True, rich_markup_mode=None
)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the change, and make none.")]
Remove = Annotated[bool, typer.Option("--remove", help="Take back what this command has added.")]
RuntimePath = Annotated[
    Path | None,
    typer.Option("--runtime-path", metavar="PATH", help="Where rune is, if not beside this command."),
]
Simulate = Annotated[
    bool, typer.Option("--simulate", help="Have TEE containers simulated, which protects nothing.")
]


def _config(default: str) -> object:
    return typer.Option("--config", metavar="FILE", help=f"The file to change. [default: {default}]")


@setup.command()
def docker(
    *,
    config: Annotated[Path | None, _config("/etc/docker/daemon.json")] = None,
    runtime_path: RuntimePath = None,
    simulate: Simulate = False,
    dry_run: DryRun = False,
    remove: Remove = False,
) -> None:
    """Add rune to the runtimes of dockerd."""
    from enclavize.node.docker import CONFIG, NEXT_STEP, plan

    runtime = None if remove else _runtime(runtime_path, simulate=simulate)
    _finish(plan(config or CONFIG, runtime), NEXT_STEP, dry_run=dry_run, remove=remove)


@setup.command()
def containerd(
    *,
    config: Annotated[Path | None, _config("/etc/containerd/config.toml")] = None,
    config_version: Annotated[
        int,
        typer.Option(
            "--config-version", min=2, max=3, help="Of a file that is not there yet; 3: containerd 2."
        ),
    ] = 2,
    runtime_path: RuntimePath = None,
    dry_run: DryRun = False,
    remove: Remove = False,
) -> None:
    """Add rune to the runtimes of containerd's CRI plug-in, for Kubernetes."""
    from enclavize.node.containerd import CONFIG, NEXT_STEP, plan

    runtime = None if remove else _runtime(runtime_path)
    _finish(
        plan(config or CONFIG, runtime, version=config_version), NEXT_STEP, dry_run=dry_run, remove=remove
    )


@setup.command()
def podman(
    *,
    config: Annotated[Path | None, _config("/etc/containers/containers.conf.d/50-enclavize.conf")] = None,
    runtime_path: RuntimePath = None,
    dry_run: DryRun = False,
    remove: Remove = False,
) -> None:
    """Add rune to the runtimes of podman, and to those whose errors it can read."""
    from enclavize.node.podman import CONFIG, NEXT_STEP, plan

    runtime = None if remove else _runtime(runtime_path)
    _finish(plan(config or CONFIG, runtime), NEXT_STEP, dry_run=dry_run, remove=remove)


@setup.command()
def cdi(
    *,
    config: Annotated[Path | None, _config("/etc/cdi/enclavize-sgx.json")] = None,
    dry_run: DryRun = False,
    remove: Remove = False,
) -> None:
    """Name this machine's SGX devices for the Container Device Interface."""
    from enclavize.node.cdi import CONFIG, NEXT_STEP, plan

    _finish(plan(config or CONFIG, remove=remove), NEXT_STEP, dry_run=dry_run, remove=remove)


def _runtime(path: Path | None, *, simulate: bool = False) -> Runtime:
    from enclavize.errors import UsageError
    from enclavize.node.runtime import Runtime, find_rune

    if path is not None and not path.is_file():
        raise UsageError(f"--runtime-path: there is no file {path}")
    return Runtime(path=path.resolve() if path else find_rune(), options=("--simulate",) if simulate else ())


def _finish(edit: Edit, next_step: str, *, dry_run: bool, remove: bool) -> None:
    """Show a change, or make it and say what is next."""
    if dry_run:
        sys.stdout.write(edit.diff())
        return
    backup = edit.apply()
    if not edit.changes:
        sys.stderr.write(f"{edit.path} is as it should be\n")
        return
    sys.stderr.write(f"{edit.path} was {'removed' if edit.after is None else 'written'}\n")
    if backup:
        sys.stderr.write(f"as it was first: {backup}\n")
    if not remove:
        sys.stderr.write(f"next: {next_step}\n")
