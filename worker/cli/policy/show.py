"""`connects policy show`: the policy in force."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from worker.cli._errors import refusals
from worker.cli._options import Json
from worker.cli._output import mapping_page, print_found
from worker.queries.policies import policy_file
from worker.settings import Settings


def command(
    *,
    at: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"], help="In force then, in UTC.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the policy version in force now, or at another time.

    Example: connects policy show --at 2026-03-14
    """
    with refusals():
        settings = Settings.read()
        book = policy_file(settings.policy)
        instant = settings.wall_clock().now() if at is None else at.replace(tzinfo=UTC)
        document = book.in_force(instant).document
    print_found(document, lambda policy: mapping_page(_flattened(policy)), as_json=as_json)


def _flattened(document: Mapping[str, object], above: str = "") -> dict[str, object]:
    """A document of sections as one level of dotted names."""
    flat: dict[str, object] = {}
    for name, value in document.items():
        if isinstance(value, Mapping):
            flat |= _flattened(value, f"{above}{name}.")
        else:
            flat[f"{above}{name}"] = value
    return flat
