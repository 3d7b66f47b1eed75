"""A plan is begun once, goes on after it was stopped, and is refused where it was not made."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.kit import replaying
from tests.kit.deciding import Deciding
from tests.kit.policies import policies
from tests.kit.replaying import Came, Refusing, add, ask, became, begin, bought, header, leading, planned, registered
from worker.domain.decisions import Subject
from worker.words.explanations import explain

BOOK = policies()


@pytest.fixture
async def decides() -> AsyncIterator[Deciding]:
    async with leading(Refusing(), BOOK) as decides:
        yield decides


@pytest.fixture
def store(decides: Deciding) -> Refusing:
    assert isinstance(decides.store, Refusing)
    return decides.store


async def refusal(decides: Deciding, **otherwise: object) -> str:
    made = header(BOOK, **{"ledger_id": await decides.store.ledger_id(), **otherwise})
    answer = await ask(decides, "replay-begin", {"plan": replaying.PLAN, "header": made, "triggers": 1})
    assert (answer.outcome, answer.reason) == ("declined", "plan-refused")
    return explain(answer.reason, answer.outcome, Subject(), answer.told)


async def test_a_plan_of_another_ledger_release_or_policy_is_refused(decides: Deciding) -> None:
    assert "made for another ledger, other-one" in await refusal(decides, ledger_id="other-one")
    assert "release 0.0.9 made it" in await refusal(decides, release="0.0.9")
    assert "other policy versions" in await refusal(decides, policy_versions=["2020-01 ff"])
    assert "has format 99" in await refusal(decides, format=99)


async def test_a_plan_is_begun_once_stopped_and_closed(decides: Deciding, came: Came, store: Refusing) -> None:
    await came(registered("f-1"))
    triggers = await planned(store, BOOK, [bought("f-1", "b-1")])
    stop = {"plan": replaying.PLAN, "close": False}
    assert (await add(decides, triggers)).reason == "plan-refused"
    assert (await ask(decides, "replay-stop", stop)).reason == "plan-refused"
    assert (await begin(decides, BOOK, 1)).reason == "plan-begun"
    assert (await begin(decides, BOOK, 1)).reason == "plan-is-open"
    assert (await ask(decides, "replay-stop", stop)).reason == "plan-stopped"
    assert (await ask(decides, "replay-stop", stop)).reason == "plan-refused"
    assert (await add(decides, triggers)).reason == "plan-refused"
    assert (await begin(decides, BOOK, 1)).reason == "plan-begun"
    assert (await ask(decides, "replay-stop", {**stop, "close": True})).reason == "plan-closed"
    assert (await begin(decides, BOOK, 1)).reason == "plan-refused"
    assert (await add(decides, triggers)).reason == "plan-refused"
    assert (await ask(decides, "replay-stop", stop)).reason == "plan-refused"
    assert became(store) == []
    (row,) = store.tables.replays
    assert row.state == "closed"


@pytest.mark.parametrize("wrong", [{"triggers": []}, {"plan": 7}, {"give_only": "x"}, {"more": 1}])
async def test_arguments_that_no_chunk_has_are_refused(decides: Deciding, wrong: dict[str, object]) -> None:
    await begin(decides, BOOK, 1)
    asked: dict[str, Any] = {"plan": replaying.PLAN, "give_only": False, "triggers": [], **wrong}
    assert (await ask(decides, "replay-decide", asked)).reason == "wrong-arguments"


async def test_triggers_that_the_plan_has_not_are_refused(decides: Deciding, came: Came, store: Refusing) -> None:
    await came(registered("f-1"))
    one, two = await planned(store, BOOK, [bought("f-1", "b-1"), bought("f-1", "b-2")])
    await begin(decides, BOOK, 1)
    for triggers in ([one, two], [two, one], [one, one], [msgspec.structs.replace(one, topic="no-topic")]):
        assert (await add(decides, triggers)).reason == "wrong-arguments"
    assert became(store) == []
