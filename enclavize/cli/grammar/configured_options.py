"""Options of a build that may stand in a configuration file; a node's rules have no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.cli.choices import LibOS
from enclavize.cli.grammar.date import parse_date
from enclavize.cli.grammar.gramine_manifest import first, manifest_options
from enclavize.cli.grammar.policy import (
    parse_allowed_variables,
    parse_commands,
    parse_network,
    parse_volumes,
)
from enclavize.cli.grammar.setting import parse_settings
from enclavize.cli.grammar.silence import parse_forced
from enclavize.pipeline.options import BuildOptions, SigningOptions
from enclavize.tee.policy import Policy

if TYPE_CHECKING:
    from enclavize.cli.grammar.configured import Configured
    from enclavize.oci.location import Location
    from enclavize.oci.platform import Platform
    from enclavize.pipeline.options import KeySigner, NoSigner, ServiceSigner
    from enclavize.tee.policy import Network


def configured_policy(
    file: Configured,
    *,
    allow_args: bool = False,
    allow_env: list[str] | None = None,
    allow_exec: list[str] | None = None,
    volume: list[str] | None = None,
    allow_host_network_files: bool = False,
    allow_network: Network | None = None,
) -> Policy:
    """Return the policy of the command line, and behind it that of the file. Raises UsageError."""
    any_command, commands = file.several("policy", "allow-exec", allow_exec, parse_commands)
    return Policy(
        allow_arguments=file.flag("policy", "allow-args", allow_args),
        allowed_environment=file.several("policy", "allow-env", allow_env, parse_allowed_variables),
        allow_any_exec=any_command,
        allowed_exec=commands,
        volumes=file.several("policy", "volume", volume, parse_volumes),
        allow_host_network_files=file.flag("policy", "allow-host-network-files", allow_host_network_files),
        network=file.one("policy", "allow-network", allow_network, parse_network),
    )


def options_of_file(
    file: Configured,
    *,
    source: Location,
    platform: Platform,
    signer: KeySigner | ServiceSigner | NoSigner | None,
    debug: bool = False,
    libos: LibOS | None = None,
    toolchain: str | None = None,
    insecure: bool = False,
) -> BuildOptions:
    """Return a build whose options are those of the file, and which delivers nothing. Raises UsageError."""
    chosen = file.one("", "libos", libos, LibOS.parse) or LibOS.BUILTIN
    said = manifest_options(file.tables, chosen.canonical, None)
    return BuildOptions(
        source=source,
        platform=platform,
        outputs=(),
        libos=chosen.canonical,
        toolchain=file.one("", "toolchain", toolchain, str),
        tables={**file.tables, **said.tables},
        policy=configured_policy(file),
        resources=file.settings("resources", [], parse_settings, behind=said.settings),
        signing=SigningOptions(
            signer=signer,
            isv_prod_id=first(file.one("", "isvprodid", None, int), said.isv_prod_id, 0),
            isv_svn=first(file.one("", "isvsvn", None, int), said.isv_svn, 0),
            debug=debug,
            date=file.one("", "date", None, parse_date),
        ),
        insecure=insecure,
        forced=file.several("", "force", None, parse_forced),
        strict=file.flag("", "production", False),
    )
