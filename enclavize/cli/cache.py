"""``enclavize cache``: what builds and runs keep in the user's cache folder."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enclavize.cli.choices import ListFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enclavize.oci.pruning import CachedItem

cache = typer.Typer(
    help="Look at the user's cache folder, and make it smaller.", no_args_is_help=True, rich_markup_mode=None
)

Form = Annotated[ListFormat, typer.Option("--format", help="Form of the output.")]


@cache.command()
def du(*, form: Form = ListFormat.TABLE) -> None:
    """Show how large the cache is, by kinds. JSON lists each item."""
    from enclavize.cli.present import present, table
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.pruning import ItemKind, cached_items
    from enclavize.progress.units import format_size

    items = cached_items(BlobCache())
    if form is ListFormat.JSON:
        facts = {"total": _size(items), "reclaimable": _reclaimable(items), "items": list(map(_facts, items))}
        sys.stdout.write(present(facts, "json"))
        return
    rows = [
        {
            "kind": name,
            "count": str(len(some)),
            "size": format_size(_size(some)),
            "reclaimable": format_size(_reclaimable(some)),
        }
        for name, some in (
            *((kind.value, [item for item in items if item.kind is kind]) for kind in ItemKind),
            ("total", items),
        )
    ]
    sys.stdout.write(table(rows, ("kind", "count", "size", "reclaimable")))


@cache.command()
def prune(
    *,
    max_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Remove the least recently used until so much is left: 2G."),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Remove only what was not used for so long: 24h, 7d."),
    ] = None,
    form: Form = ListFormat.TABLE,
) -> None:
    """Remove what no running build and no running container uses: all of it, or what the options name."""
    from enclavize.cli.grammar.duration import parse_duration
    from enclavize.cli.grammar.size import parse_size
    from enclavize.cli.present import present
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.pruning import prune as prune_cache
    from enclavize.progress.units import format_size

    removed, left = prune_cache(
        BlobCache(),
        max_size=parse_size(max_size) if max_size else 0,
        unused_for=parse_duration(older_than) if older_than else 0,
    )
    if form is ListFormat.JSON:
        facts = {"reclaimed": _size(removed), "left": _size(left), "items": list(map(_facts, removed))}
        sys.stdout.write(present(facts, "json"))
        return
    count = "1 item" if len(removed) == 1 else f"{len(removed)} items"
    sys.stdout.write(f"reclaimed {format_size(_size(removed))} ({count}), {format_size(_size(left))} left\n")


def _size(items: "Sequence[CachedItem]") -> int:
    return sum(item.size for item in items)


def _reclaimable(items: "Sequence[CachedItem]") -> int:
    return sum(item.size for item in items if not item.in_use)


def _facts(item: "CachedItem") -> dict[str, Any]:
    import datetime as dt

    return {
        "kind": item.kind.value,
        "path": str(item.path),
        "size": item.size,
        "last_used": dt.datetime.fromtimestamp(item.last_used, dt.UTC).isoformat(timespec="seconds"),
        "in_use": item.in_use,
    }
