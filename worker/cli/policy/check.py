"""`connects policy check`: whether the ledger can go on with a policy file."""

import asyncio
from pathlib import Path
from typing import Annotated, Final

import typer

from worker.cli._errors import FOUND_SOMETHING, refusals
from worker.cli._local import is_installed, local_stack
from worker.cli._options import Json
from worker.cli._output import print_json
from worker.errors import SettingsError
from worker.plain_text import plain
from worker.queries.policies import PolicyChecked, check_policy, policy_file
from worker.settings import Settings

_IN_LEDGER: Final = {
    "used": "; the ledger has used it",
    "to-come": "; the ledger has it, and has not come to it yet",
    "new": "; it is new to the ledger",
}
_NO_STACK: Final = "the embedded stack is not running, and DATABASE_URL is not set"


def command(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Default: CONNECTS_POLICY.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check that a policy file can be used, and that the ledger can go on with it.

    Exit 1 if not, with the line and the key of what is wrong in the file, or with each key of a version that the ledger
    has with another value. Where no ledger can be read, the file alone is checked.

    Example: connects policy check policies/connects.toml
    """
    with refusals():
        book = policy_file(Settings.read().policy if file is None else file)
        database_url, why_not = _ledger()
        checked = asyncio.run(check_policy(book, database_url, why_not))
    if as_json:
        print_json(checked)
    else:
        _print_lines(checked)
    if checked.problems:
        raise typer.Exit(FOUND_SOMETHING)


def _print_lines(checked: PolicyChecked) -> None:
    for version in checked.versions:
        known = "" if version.ledger is None else _IN_LEDGER[version.ledger]
        fine = "" if checked.problems else " is fine,"
        typer.echo(plain(f"{version.version}{fine} in force from {version.effective_from.isoformat()}{known}"))
    for problem in checked.problems:
        typer.echo(plain(problem))
    if checked.not_compared is not None:
        typer.echo(plain(f"Checked the file only, not against a ledger: {checked.not_compared}"))


def _ledger() -> tuple[str | None, str]:
    """The address of the ledger, if nothing has to be started for it; else None and why there is none."""
    try:
        settings = Settings.read()
    except SettingsError as error:
        return None, str(error)
    if not settings.embedded:
        return settings.database_url or None, "DATABASE_URL is not set"
    if not is_installed():
        return None, "DATABASE_URL is not set"
    status = local_stack().status()
    if status.addresses is None or status.postgres != "running":
        return None, _NO_STACK
    return status.addresses.database_url, ""
