"""Options that say how the program in a folder is run; an image says that itself."""

from typing import Annotated

import typer

Entrypoint = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        help='Of dir:PATH, the program and arguments: words as for a shell, or JSON, ["/bin/app", "-v"].',
    ),
]
Cmd = Annotated[
    str | None, typer.Option(metavar="COMMAND", help="Of dir:PATH, more arguments, in the same form.")
]
Env = Annotated[
    list[str] | None, typer.Option("-e", "--env", metavar="NAME=VALUE", help="Of dir:PATH, a variable.")
]
Workdir = Annotated[
    str | None, typer.Option("-w", "--workdir", metavar="PATH", help="Of dir:PATH, where it starts.")
]
User = Annotated[
    str | None,
    typer.Option("-u", "--user", metavar="USER[:GROUP]", help="Of dir:PATH, who it runs as, else root."),
]
Expose = Annotated[
    list[str] | None,
    typer.Option(metavar="PORT[-PORT][/PROTOCOL]", help="Of dir:PATH, a port that it serves."),
]
VolumeOfImage = Annotated[
    list[str] | None, typer.Option(metavar="PATH", help="Of dir:PATH, what VOLUME is of an image.")
]
