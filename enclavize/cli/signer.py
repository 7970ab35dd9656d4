"""``enclavize signer``: the signing service and its audit log."""

import sys
from pathlib import Path
from typing import Annotated

import typer

signer = typer.Typer(help="Sign for others, who never see the key.", no_args_is_help=True)
audit = typer.Typer(help="The audit log of a signing service.", no_args_is_help=True)
signer.add_typer(audit, name="audit")


@signer.command()
def serve(
    *, config: Annotated[Path, typer.Option(metavar="signer.toml", help="Keys, clients, policies.")]
) -> None:
    """Run the signing service until SIGTERM."""
    from enclavize.errors import UsageError

    try:
        from enclavize.signing.service.server import serve as run
    except ImportError as error:
        raise UsageError(
            f"the signing service needs {error.name}", hint='pip install "enclavize[signer]"'
        ) from error
    run(config)


@signer.command()
def token(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the token, for the client.")],
    *,
    days: Annotated[
        int | None, typer.Option(min=1, max=36500, metavar="N", help="It expires after so many days.")
    ] = None,
) -> None:
    """Make a token for a client, and print the hash by which signer.toml knows it."""
    import datetime as dt
    import secrets

    from enclavize.errors import UsageError
    from enclavize.sgx.atomic_file import write_file
    from enclavize.signing.service.clients import hash_token

    secret = secrets.token_urlsafe(32)
    try:
        write_file(path, [f"{secret}\n".encode()], mode=0o600, replace=False)
    except FileExistsError as error:
        raise UsageError(f"{path} exists; a token is never overwritten") from error
    known = f'"{hash_token(secret)}"'
    if days is not None:
        end = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        known = f"{{ sha256 = {known}, expires = {end:%Y-%m-%dT%H:%M:%SZ} }}"
    sys.stdout.write(f"token_sha256 = [{known}]\n")


@audit.command()
def verify(
    *,
    log: Annotated[Path, typer.Argument(metavar="LOG", help="The audit log.")],
    head: Annotated[
        str | None, typer.Option(metavar="HASH", help="Hash of a line that was noted earlier.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="Number of that line.")] = None,
) -> None:
    """Check that nothing in the log was changed; with what was noted earlier, also that nothing was cut off.

    Prints number and hash of the last line, to be noted elsewhere.
    """
    from enclavize.signing.service.audit import Anchor, verify_chain

    with log.open("rb") as stream:
        chain = verify_chain(stream, str(log), Anchor(head=head.lower() if head else None, count=count))
    sys.stdout.write(f"lines  {chain.count}\nhead   {chain.head}\n")
    if chain.torn:
        sys.stderr.write(
            f"WARNING: the last {len(chain.torn)} bytes are no whole line: it is being written, or a crash "
            "tore it; no signature was given out for it\n"
        )
    if head is None and count is None:
        sys.stderr.write("WARNING: without --head and --count, lines cut off at the end are not noticed\n")
