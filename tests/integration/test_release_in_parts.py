"""Releasing a queue longer than a batch, through the real writer on a real PostgreSQL: stopped, or failing, midway."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from tests.kit.deciding import Deciding, deciding
from tests.kit.policies import policies
from tests.kit.story import day
from tests.model.ledger import read_ledger
from tests.property.test_writer_found_before import Timeline
from worker.domain.rules import grants
from worker.engine.commands import Answer, Command, CommandRunner
from worker.ledger.parked import ParkedKey

KEY = ParkedKey("wallet", "f-1")
WAITING = 26


class Bug:
    """While it lasts, every purchase fails that is not repaired."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mended = range(0)
        rule = grants.grant

        def grant(*arguments: Any) -> Any:  # noqa: ANN401
            number = int(arguments[1].event.purchase_id.removeprefix("b-"))
            if number not in self.mended:
                raise ZeroDivisionError
            return rule(*arguments)

        monkeypatch.setattr(grants, "grant", grant)


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> Bug:
    return Bug(monkeypatch)


@pytest.fixture
async def decides(database_url: str, bug: Bug) -> AsyncIterator[Deciding]:
    """A writer with batches of ten, and 26 purchases that wait behind the first of them."""
    assert not bug.mended
    timeline = Timeline()
    bought = [
        timeline.event("connects-purchased", day(1), freelancer_id="f-1", purchase_id=f"b-{number}", connects=1)
        for number in range(WAITING)
    ]
    async with deciding(database_url, policies(), batch_size=10) as decides:
        await decides.decide(bought)
        await decides.commit()
        await decides.restart()
        yield decides


async def release(decides: Deciding) -> Answer:
    arguments = {"scope": "wallet", "key": "f-1"}
    return await CommandRunner(decides.writer).run(Command(UUID(int=1), "parked-release", arguments, "ann", "mended"))


def stop_after_a_batch(decides: Deciding, batches: int = 1) -> None:
    """Tell the writer to stop when that many batches of the release are committed."""
    commit = decides.store.commit
    left = batches

    async def committed(*arguments: Any) -> None:  # noqa: ANN401
        nonlocal left
        await commit(*arguments)
        left -= 1
        if not left:
            decides.writer.stop()

    decides.store.commit = committed  # type: ignore[method-assign]


async def followed(database_url: str) -> list[int]:
    return [row["follows"] for row in (await read_ledger(database_url)).decisions if row["kind"] == "follow-up"]


async def test_a_stop_ends_a_release_between_two_batches_and_the_rest_stays_parked(
    database_url: str, decides: Deciding, bug: Bug
) -> None:
    bug.mended = range(WAITING)
    stop_after_a_batch(decides)
    answer = await release(decides)
    assert (answer.outcome, answer.reason) == ("declined", "worker-stopping")
    released = answer.told["released"]
    assert released in {10, 20}, "whole batches"
    assert answer.told["left"] == WAITING - released
    assert await followed(database_url) == list(range(1, released + 1))

    await decides.restart()
    assert list(decides.writer.parked) == [KEY], "it stays parked, and what comes now waits behind it"
    assert len(await decides.store.parked_triggers(KEY)) == WAITING - released
    shown = (await read_ledger(database_url)).decisions[-1]
    assert (shown["kind"], shown["reason"]) == ("command", "worker-stopping")
    assert json.loads(shown["facts"]).items() >= answer.told.items()

    assert await decides.writer.release(KEY) == (WAITING - released, 0, None)
    await decides.commit()
    assert decides.writer.parked == {}
    assert await followed(database_url) == list(range(1, WAITING + 1))


async def test_a_stop_in_the_last_batch_of_a_release_changes_nothing(decides: Deciding, bug: Bug) -> None:
    bug.mended = range(WAITING)
    stop_after_a_batch(decides, batches=3)
    answer = await release(decides)
    assert (answer.reason, answer.told["released"], answer.told["left"]) == ("released", WAITING, 0)


@pytest.mark.parametrize("fails_at", [0, 5, 10, 17, 25])
async def test_a_release_that_fails_midway_counts_all_it_decided(
    database_url: str, decides: Deciding, bug: Bug, fails_at: int
) -> None:
    bug.mended = range(fails_at)
    answer = await release(decides)
    assert (answer.reason, answer.told["error"]) == ("fails-again", "ZeroDivisionError: ")
    assert (answer.told["released"], answer.told["left"]) == (fails_at, WAITING - fails_at)
    assert await followed(database_url) == list(range(1, fails_at + 1))
    assert len(await decides.store.parked_triggers(KEY)) == WAITING - fails_at

    bug.mended = range(WAITING)
    assert await decides.writer.release(KEY) == (WAITING - fails_at, 0, None)
    await decides.commit()
    assert await followed(database_url) == list(range(1, WAITING + 1))
