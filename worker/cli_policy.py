"""`connects policy`: what the policy file says, and whether the ledger can go on with it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli_support import FOUND_SOMETHING, Json, print_json, print_page, refusals

if TYPE_CHECKING:
    from worker.domain.policy import PolicyBook
    from worker.operations.policies import PolicyChecked

policy = typer.Typer(help="What is granted, charged and given back.", no_args_is_help=True, rich_markup_mode=None)

_IN_LEDGER = {
    "used": "; the ledger has used it",
    "to-come": "; the ledger has it, and has not come to it yet",
    "new": "; it is new to the ledger",
}


@policy.command("show")
def show_policy(
    *,
    at: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"], help="In force then, in UTC.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the policy version in force now, or at another time.

    Example: connects policy show --at 2026-03-14
    """
    from worker.operations import pages  # noqa: PLC0415
    from worker.settings import Settings  # noqa: PLC0415

    with refusals():
        settings = Settings.read()
        book = _read_policy(settings.policy)
        instant = settings.wall_clock().now() if at is None else at.replace(tzinfo=UTC)
        document = book.in_force(instant).document
    if as_json:
        print_json(document)
    else:
        print_page(pages.mapping_page(pages.flattened(document)))


@policy.command("check")
def check_policy(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Default: CONNECTS_POLICY.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check that a policy file can be used, and that the ledger can go on with it.

    Exit 1 if not, with the line and the key of what is wrong in the file, or with each key of a version that the ledger
    has with another value. Where no ledger can be read, the file alone is checked.

    Example: connects policy check policies/connects.toml
    """
    from worker.operations import policies  # noqa: PLC0415
    from worker.settings import Settings  # noqa: PLC0415

    with refusals():
        book = _read_policy(Settings.read().policy if file is None else file)
        database_url, why_not = _ledger()
        checked = asyncio.run(policies.check_policy(book, database_url, why_not))
    if as_json:
        print_json(checked)
    else:
        _say(checked)
    if checked.problems:
        raise typer.Exit(FOUND_SOMETHING)


def _say(checked: "PolicyChecked") -> None:
    from worker.operations.pages import plain  # noqa: PLC0415

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
    from worker.local.stack import LocalStack, default_folder  # noqa: PLC0415
    from worker.settings import Settings, SettingsError  # noqa: PLC0415

    try:
        settings = Settings.read()
    except SettingsError as error:
        return None, str(error)
    if not settings.embedded:
        return settings.database_url or None, "DATABASE_URL is not set"
    status = LocalStack(default_folder()).status()
    if status.addresses is None or status.postgres != "running":
        return None, "the embedded stack is not running, and DATABASE_URL is not set"
    return status.addresses.database_url, ""


def _read_policy(path: Path) -> "PolicyBook":
    from worker.domain.policy_file import PolicyError  # noqa: PLC0415
    from worker.errors import OperatorNeeded  # noqa: PLC0415
    from worker.operations.policies import policy_file  # noqa: PLC0415

    try:
        return policy_file(path)
    except PolicyError as error:
        raise OperatorNeeded(str(error)) from None
