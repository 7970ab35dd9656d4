"""The check stage: can a LibOS run this image?"""

from __future__ import annotations

import posixpath
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from enclavize.compat.report import Finding, Severity
from enclavize.compat.rules import check
from enclavize.compat.subject import Subject
from enclavize.libos.builtin.backend import BuiltinBackend, configuration_problem
from enclavize.libos.builtin.process import environment, health_command
from enclavize.libos.builtin.users import account_of
from enclavize.oci.cache import BlobCache
from enclavize.oci.platform import LINUX_AMD64
from enclavize.oci.resolve import resolve
from enclavize.rootfs.index import index_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enclavize.compat.profile import Profile
    from enclavize.compat.report import Report
    from enclavize.oci.image import Image
    from enclavize.oci.image_config import ImageConfig
    from enclavize.oci.location import Location
    from enclavize.oci.platform import Platform
    from enclavize.progress import Reporter
    from enclavize.rootfs.tree import Rootfs


def check_image(
    location: Location,
    profiles: Sequence[Profile],
    *,
    platform: Platform = LINUX_AMD64,
    insecure: bool,
    reporter: Reporter,
    writable: Sequence[str] = (),
) -> tuple[Report, ...]:
    """Resolve and index an image, and check it. Raises EnclavizeError, but not for what the checks find.

    ``writable`` are the folders that a build would be told to open for writing.
    """
    cache = BlobCache()
    image = resolve(location, platform, cache=cache, insecure=insecure, reporter=reporter)
    with closing(image.source):
        rootfs = index_image(image, cache=cache, reporter=reporter)
        return reports_on(rootfs, image, profiles, writable)


def report_on(rootfs: Rootfs, image: Image, profile: Profile, writable: Sequence[str] = ()) -> Report:
    """Apply a profile's rules to an image. Raises EnclavizeError for a malformed configuration."""
    return reports_on(rootfs, image, [profile], writable)[0]


def reports_on(
    rootfs: Rootfs, image: Image, profiles: Sequence[Profile], writable: Sequence[str] = ()
) -> tuple[Report, ...]:
    """Do the same for some profiles."""
    config = image.config
    account = account_of(rootfs, config)
    variables = dict(item.split("=", 1) for item in environment(config, account.home))
    subject = Subject(
        rootfs=rootfs,
        arguments=(*config.entrypoint, *config.cmd),
        working_directory=posixpath.join("/", config.working_dir),
        environment=variables,
        uid=account.user.uid,
        gids=frozenset((account.user.gid, *account.user.groups)),
        ports=config.exposed_ports,
        health=health_command(config),
        writable=tuple(posixpath.normpath(path) for path in (*config.volumes, *writable)),
    )
    reports = (check(subject, image, profile) for profile in profiles)
    return tuple(
        _with_configuration(report, rootfs, config) if report.libos == BuiltinBackend.name else report
        for report in reports
    )


def _with_configuration(report: Report, rootfs: Rootfs, config: ImageConfig) -> Report:
    """Add what a build would say of the measured configuration."""
    problem = configuration_problem(rootfs, config) if config.entrypoint or config.cmd else None
    if problem is None:
        return report
    finding = Finding(
        code="OCC067", severity=Severity.ERROR, path="", message=str(problem), remedy=problem.hint or ""
    )
    return replace(report, findings=(finding, *report.findings))
