"""A claw-back takes Connects from wallets under somebody else's hire: it is found by all that it took from."""

from collections.abc import AsyncIterator

import pytest

from tests.kit.deciding import GRACE, deciding
from tests.kit.policies import policies, policy_text
from tests.kit.story import day
from tests.property.test_writer_found_before import Timeline
from worker.queries.asking import Connection, snapshot
from worker.queries.explain import explain_freelancer, explain_job, explain_proposal
from worker.queries.explained import Explanation

POLICIES = policies(policy_text(late_hire="claw-back"))


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Connection]:
    """f-1 got two refunds of j-1 and f-2 one, f-4's was free; then it became known that f-3 had been hired before.

    The hire names a proposal whose refund it takes back: it is noted once.
    """
    timeline = Timeline()
    names = ("f-1", "f-2", "f-3", "f-4")
    costs = {"p-1": ("f-1", 5), "p-2": ("f-1", 6), "p-3": ("f-2", 7), "p-4": ("f-4", 0)}
    records = [timeline.registered(day(0), name) for name in names]
    for proposal_id, (name, connects) in costs.items():
        about = {"freelancer_id": name, "job_id": "j-1", "proposal_id": proposal_id, "origin": "proposal"}
        records.append(timeline.event("proposal-submitted", day(1), **about, connects=connects))
    hire = {"freelancer_id": "f-3", "contract_id": "c-1", "job_id": "j-1", "proposal_id": "p-3"}
    async with deciding(database_url, POLICIES) as decides:
        await decides.decide([*records, timeline.closed(day(2))])
        await decides.until(day(2) + GRACE)
        await decides.decide([timeline.event("hire-made", day(1.5), day(3), **hire)])
        await decides.commit()
    async with snapshot(database_url) as connection:
        yield connection


def claw_backs(explanation: Explanation) -> list[list[tuple[str, int]]]:
    return [
        [(change.freelancer_id, change.delta) for change in decision.changes]
        for decision in explanation.decisions
        if decision.reason == "hire-after-settlement"
    ]


TAKEN = [[("f-1", -11), ("f-2", -7)]]


@pytest.mark.parametrize(("name", "taken"), [("f-1", TAKEN), ("f-2", TAKEN), ("f-3", TAKEN), ("f-4", [])])
async def test_a_claw_back_is_found_by_each_freelancer_whose_wallet_it_changed_and_by_the_one_hired(
    ledger: Connection, name: str, taken: list[list[tuple[str, int]]]
) -> None:
    assert claw_backs((await explain_freelancer(ledger, name, POLICIES, day(3))).found) == taken


@pytest.mark.parametrize(("proposal_id", "taken"), [("p-1", TAKEN), ("p-2", TAKEN), ("p-3", TAKEN), ("p-4", [])])
async def test_a_claw_back_is_found_by_each_proposal_whose_refund_it_took_back(
    ledger: Connection, proposal_id: str, taken: list[list[tuple[str, int]]]
) -> None:
    assert claw_backs(await explain_proposal(ledger, proposal_id)) == taken


async def test_a_claw_back_is_found_by_its_job(ledger: Connection) -> None:
    assert claw_backs(await explain_job(ledger, "j-1")) == TAKEN
