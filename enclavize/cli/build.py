"""``enclavize build``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from enclavize.cli.choices import InitRaChoice, LibOS, Platform, Progress, SgxModeChoice
from enclavize.cli.destination import ImageIdFile, Load, MetadataFile, Push, Tags
from enclavize.cli.execution_options import Cmd, Entrypoint, Env, Expose, User, VolumeOfImage, Workdir
from enclavize.cli.key_options import Ca, Certificate, Service, TokenFile
from enclavize.cli.passphrase import PassphraseEnv, PassphraseFd, PassphraseFile
from enclavize.progress.mode import ProgressMode
from enclavize.tee.policy import Network


def build(
    *,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="An image: NAME[:TAG][@DIGEST] in a registry, oci:DIR[:TAG], oci-archive:FILE, "
            "docker-archive:FILE, docker-daemon:NAME, dir:PATH.",
        ),
    ],
    tag: Tags = None,
    push: Push = False,
    load: Load = False,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DEST",
            help="type=oci|docker|registry|local|tar[,dest=PATH][,name=NAME][,tar=false]; a path alone is "
            "type=local, - is a tar file to standard output.",
        ),
    ] = None,
    platform: Platform = "linux/amd64",
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Label of the image.")] = None,
    annotation: Annotated[
        list[str] | None,
        typer.Option(metavar="[LEVEL:]KEY=VALUE", help="Annotation; LEVEL is manifest."),
    ] = None,
    progress: Progress = ProgressMode.AUTO,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print the image ID only.")] = False,
    metadata_file: MetadataFile = None,
    iidfile: ImageIdFile = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Do not use results of earlier builds.")
    ] = False,
    libos: Annotated[
        LibOS | None,
        typer.Option(
            help="The library operating system; auto: what suits the image best, of builtin and the "
            "toolchain's. By default builtin."
        ),
    ] = None,
    toolchain: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX|IMAGE|NAME", help="Files of Gramine or Occlum, where they are not installed here."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Options in a file, such as enclavize.toml.")
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A manifest as gsc build takes it; Gramine only."),
    ] = None,
    image_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Encrypt the root file system; Occlum only, see gen-image-key."),
    ] = None,
    builtin_image_key: Annotated[
        bool,
        typer.Option("--builtin-image-key", help="Give init the key; whoever has the image has it too."),
    ] = False,
    sgx_mode: Annotated[
        SgxModeChoice | None,
        typer.Option(help="HW, or SIM for an enclave that runs in simulation alone; Occlum only."),
    ] = None,
    init_ra: Annotated[
        InitRaChoice | None,
        typer.Option("--init-ra", help="Let init get the image key by remote attestation; Occlum only."),
    ] = None,
    init_ra_conf: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its init_ra_conf.json: key service, secrets, what is compared."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="List files that are left out otherwise; Gramine only."),
    ] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Do not list these files, so that processes start sooner; Gramine only."
        ),
    ] = None,
    only_opened: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="List only the files whose paths stand in FILE, one a line; Gramine only."
        ),
    ] = None,
    tmpfs: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="A folder in memory that can be written; Gramine only."),
    ] = None,
    ra_tls: Annotated[
        bool, typer.Option("--ra-tls", help="Take Gramine's library for RA-TLS from the toolchain.")
    ] = False,
    secret_provisioning: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Fetch secrets from HOST:PORT before the program starts; Gramine only."
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY.pem|pkcs11:URI", help="Private key; without any signer a debug image is made."
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    passphrase_env: PassphraseEnv = None,
    passphrase_fd: PassphraseFd = None,
    signer: Service = None,
    signer_token_file: TokenFile = None,
    signer_certificate: Certificate = None,
    signer_ca: Ca = None,
    image_signature: Annotated[
        bool, typer.Option("--image-signature", help="Sign name and digest of the image too, as cosign does.")
    ] = False,
    image_signing_key: Annotated[
        str | None,
        typer.Option(metavar="KEY.pem|pkcs11:URI", help="Key for it; by default who signs the enclave."),
    ] = None,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Leave the image unsigned, for 'sign material' and 'attach'.")
    ] = False,
    isvprodid: Annotated[
        int | None, typer.Option(min=0, max=0xFFFF, help="Product id, measured into the signature.")
    ] = None,
    isvsvn: Annotated[int | None, typer.Option(min=0, max=0xFFFF, help="Security version number.")] = None,
    date: Annotated[
        str | None,
        typer.Option(
            metavar="YYYY-MM-DD", help="Date of the signature; by default SOURCE_DATE_EPOCH or the image's."
        ),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Make a debug image: the host can read the enclave.")
    ] = False,
    production: Annotated[
        bool, typer.Option("--production", help="Refuse what is debuggable or doubtful.")
    ] = False,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="memory=SIZE, threads=COUNT, kernel-heap=SIZE, fault-around=SIZE, switchless=COUNT.",
        ),
    ] = None,
    allow_args: Annotated[bool, typer.Option("--allow-args", help="The host may give arguments.")] = False,
    allow_env: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:unsafe]",
            help="The host may set this variable; with :unsafe also one by which it can run other code.",
        ),
    ] = None,
    allow_exec: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[COMMAND]", help="The host may start this command in the enclave; alone: any command."
        ),
    ] = None,
    volume: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH[:ro][:exec]", help="Files below PATH are the host's, and unprotected."),
    ] = None,
    allow_host_network_files: Annotated[
        bool,
        typer.Option(
            "--allow-host-network-files", help="The host gives /etc/hosts, resolv.conf and hostname."
        ),
    ] = False,
    allow_network: Annotated[
        Network | None,
        typer.Option(
            help="Addresses that sockets may have; by default all if the image exposes a port, else loopback."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only tell whether the LibOS can run the image.")
    ] = False,
    entrypoint: Entrypoint = None,
    cmd: Cmd = None,
    env: Env = None,
    workdir: Workdir = None,
    user: User = None,
    expose: Expose = None,
    volume_of_image: VolumeOfImage = None,
    force: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="Build although the check finds this; see explain."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept plain HTTP and unknown certificates of registries.")
    ] = False,
) -> None:
    """Convert an image into a signed TEE image."""
    import os

    from enclavize.cli.grammar.annotation import parse_annotations, parse_labels
    from enclavize.cli.grammar.configured import Configured
    from enclavize.cli.grammar.configured_options import configured_policy
    from enclavize.cli.grammar.date import parse_date, parse_epoch
    from enclavize.cli.grammar.execution import parse_source
    from enclavize.cli.grammar.gramine_manifest import added, first, manifest_options
    from enclavize.cli.grammar.image_key import with_image_key, with_init_ra, with_sgx_mode
    from enclavize.cli.grammar.output import combine_outputs
    from enclavize.cli.grammar.setting import parse_settings
    from enclavize.cli.grammar.signer import parse_image_signing, parse_signer
    from enclavize.cli.grammar.silence import parse_forced
    from enclavize.cli.grammar.trusted_files import with_selection
    from enclavize.errors import UsageError
    from enclavize.oci.platform import parse_sgx_platform
    from enclavize.pipeline.options import BuildOptions, SigningOptions
    from enclavize.progress.renderer import reporting

    sgx_platform = parse_sgx_platform(platform)
    file = Configured.load(config)
    libos = file.one("", "libos", libos, LibOS.parse) or LibOS.BUILTIN
    toolchain = file.one("", "toolchain", toolchain, str)
    forced = file.several("", "force", force, parse_forced)
    location = parse_source(
        source,
        entrypoint=entrypoint,
        cmd=cmd,
        env=env,
        workdir=workdir,
        user=user,
        expose=expose,
        volumes=volume_of_image,
    )
    if check:
        from enclavize.cli.check import check_location

        check_location(
            location,
            libos=None if libos is LibOS.AUTO else libos.canonical,
            toolchain=toolchain,
            ignore=forced,
            writable=(*(tmpfs or ()), *(volume or ())),
            platform=platform,
            progress=progress,
            insecure=insecure,
        )
        return
    production = file.flag("", "production", production)
    said = manifest_options(file.tables, libos.canonical, manifest)
    debug = debug or said.debug
    if debug and production:
        raise UsageError("--debug and --production contradict each other")
    who = parse_signer(
        key=key,
        passphrase_file=passphrase_file,
        passphrase_env=passphrase_env,
        passphrase_fd=passphrase_fd,
        service=signer,
        token_file=signer_token_file,
        ca=signer_ca,
        certificate=signer_certificate,
        unsigned=unsigned,
    )
    if production and who is None:
        raise UsageError(
            "--production needs a key to sign with", hint="add --key KEY.pem, --signer or --unsigned"
        )
    if quiet and progress not in (ProgressMode.AUTO, ProgressMode.QUIET):
        raise UsageError(f"--quiet and --progress {progress} contradict each other")
    mode = ProgressMode.QUIET if quiet else progress
    options = BuildOptions(
        source=location,
        platform=sgx_platform,
        outputs=combine_outputs(output or [], push=push, load=load, tags=tag or []),
        libos=libos.canonical,
        toolchain=toolchain,
        tables=with_selection(
            with_init_ra(
                with_sgx_mode(
                    with_image_key(
                        {**file.tables, **said.tables}, libos.canonical, image_key, built_in=builtin_image_key
                    ),
                    libos.canonical,
                    sgx_mode,
                ),
                libos.canonical,
                init_ra,
                init_ra_conf,
            ),
            libos.canonical,
            keep=keep or (),
            leave_out=leave_out or (),
            only_opened=only_opened or (),
            tmpfs=tmpfs or (),
            ra_tls=ra_tls,
            secret_provisioning=secret_provisioning,
        ),
        policy=configured_policy(
            file,
            allow_args=allow_args or said.allows_arguments,
            allow_env=added(allow_env, file.listed("policy", "allow-env"), said.allowed_variables),
            allow_exec=allow_exec,
            volume=added(volume, file.listed("policy", "volume"), said.volumes),
            allow_host_network_files=allow_host_network_files,
            allow_network=allow_network,
        ),
        resources=file.settings("resources", setting or [], parse_settings, behind=said.settings),
        signing=SigningOptions(
            signer=who,
            isv_prod_id=first(file.one("", "isvprodid", isvprodid, int), said.isv_prod_id, 0),
            isv_svn=first(file.one("", "isvsvn", isvsvn, int), said.isv_svn, 0),
            debug=debug or who is None,
            date=file.one("", "date", parse_date(date) if date else None, parse_date),
        ),
        image_signing=parse_image_signing(wanted=image_signature, key=image_signing_key),
        labels=file.pairs("label", label or [], parse_labels),
        annotations=file.pairs("annotation", annotation or [], parse_annotations),
        use_cache=not no_cache,
        insecure=insecure,
        forced=forced,
        strict=production,
        metadata_file=metadata_file,
        image_id_file=iidfile,
        source_date_epoch=parse_epoch(os.environ.get("SOURCE_DATE_EPOCH")),
    )
    from enclavize.cli.grammar.cache_bound import cache_bound
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.pruning import prune
    from enclavize.pipeline.build import build as run_pipeline
    from enclavize.pipeline.summary import summary

    bound = cache_bound()
    with reporting(mode) as reporter:
        result = run_pipeline(options, reporter)
    prune(BlobCache(), max_size=bound)
    if mode is ProgressMode.QUIET:
        sys.stdout.write(f"{result.image_id}\n")
    elif mode not in (ProgressMode.NONE, ProgressMode.RAWJSON):
        sys.stderr.write(summary(result))
