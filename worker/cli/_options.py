"""Options that several commands have."""

from typing import Annotated, Final

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Why = Annotated[str, typer.Option("--why", help="The reason, kept in the ledger for good.")]
Actor = Annotated[
    str | None, typer.Option("--actor", help="Who asks, kept in the ledger for good. Default: the user's name here.")
]

LAST_SHOWN: Final = 40
"""How many changes or decisions a page shows, unless --last says otherwise."""


def require_reason(why: str) -> None:
    """Refuse an empty reason: it is all that the next person on call knows.

    Raises:
        typer.BadParameter: there is none.
    """
    if not why.strip():
        raise typer.BadParameter('--why needs words: why is this done? As in --why "the importer sends wrong amounts"')
