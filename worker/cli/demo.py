"""`connects demo`: see it work."""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli._errors import refusals
from worker.demo import play


def command(
    *,
    seconds: Annotated[
        float | None,
        typer.Option(min=1, help="Stop after this many seconds. Default: on Ctrl-C; without a terminal after 30."),
    ] = None,
    rate: Annotated[float, typer.Option(min=1, max=2000, help="Events a second, on average.")] = 60,
    speed: Annotated[
        float | None,
        typer.Option(help="Simulated seconds per real second, 1 to 259200. Default: CONNECTS_CLOCK's, else a day."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another marketplace.")] = 7,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            file_okay=False,
            help="A new or empty folder, or its own. Default: in the user's cache.",
        ),
    ] = None,
    stay: Annotated[
        bool | None,
        typer.Option("--stay/--down", help="Leave the stack up, or stop it. Default: up on a terminal, else stopped."),
    ] = None,
) -> None:
    """Watch it work: the questions of freelancers answered, then a made-up marketplace, live.

    It uses its own stack and clears it on every run. Exit 1 if an answer or something that must hold is wrong.

    Example: connects demo --seconds 20
    """
    with refusals():
        code = play.run(play.Options(seconds=seconds, rate=rate, speed=speed, seed=seed, folder=folder, stay=stay))
        raise typer.Exit(code)
