"""What `connects relay adopt` shows before it changes anything, and how it asks."""

import pytest
from typer.testing import CliRunner

from worker.cli import app
from worker.cli._agreeing import asked
from worker.cli.relay.adopt import lines_of
from worker.queries.adopt import Found

FOUND = Found("0b8f", 12, 7, 1, {"wallet-updated": 30, "membership-updated": 2}, 9, {"wallet-updated": 6})


def test_what_was_found_is_told_in_words() -> None:
    assert lines_of(FOUND) == [
        "Ledger 0b8f: the marker knows the rows up to 12 as published.",
        "Published, and not made by the restored ledger: 2 of membership-updated, 30 of wallet-updated; 9 freelancers.",
        "Publishing will go on after outbox row 7, with 1 rows that wait.",
    ]
    assert "is lost" in lines_of(Found("0b8f", None, 0, 0, {}, 0, {}))[0]


@pytest.mark.parametrize(("typed", "agreed"), [("y", True), (" Yes ", True), ("n", False), ("", False)])
async def test_only_a_yes_is_a_yes(typed: str, *, agreed: bool) -> None:
    assert await asked("Adopt this? ", lambda: typed) is agreed


async def test_the_end_of_the_input_is_a_no() -> None:
    def ended() -> str:
        raise EOFError

    assert not await asked("Adopt this? ", ended)


@pytest.mark.parametrize("why", ["", "--why ''", "--why ' '"])
def test_a_reason_is_wanted(why: str) -> None:
    assert CliRunner().invoke(app, f"relay adopt --yes {why}").exit_code == 2
