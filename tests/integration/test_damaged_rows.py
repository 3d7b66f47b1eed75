"""Rows that hold what no release wrote: `connects verify` names them, and they cost their own part and not the run."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

import pytest

from tests.integration.test_tampering_with_current_state import KEYS as CURRENT_STATE
from tests.integration.test_tampering_with_current_state import write
from tests.kit.stacks import new_ledger
from tests.kit.tampering import Sealed, sealed_ledger
from worker.domain.model import FreelancerId
from worker.embedded.stack import LocalStack
from worker.errors import UsageError
from worker.proof.checks import Check, Finding
from worker.proof.hash_check import hash_check
from worker.proof.ledger_checks import again_check, again_check_of, owed_check, totals_check
from worker.proof.movements_check import movements_check
from worker.proof.state_check import state_check

HASHED: Final = ("decisions", "changes", "batches", "policies")

PROPOSAL: Final = "topic = 'proposal-submitted' AND proposal_id = 'p-5'"
SPEND: Final = "rule = 'spend.proposal' AND freelancer_id = 'f-1'"
CHARGE: Final = "reason = 'charge-requested'"
OF_F1: Final = {
    "facts that are a list": ("decisions", "facts = '[]'", "event_id = 'cycle:f-1:2026-03-05'"),
    "facts that are a number": ("decisions", "facts = '5'", "reason = 'settlement-pending' AND job_id = 'j-4'"),
    "a closing's time": ("decisions", "facts = '{\"due_at\": 5}'", "reason = 'settlement-pending' AND job_id = 'j-2'"),
    "a charge's number": ("decisions", "facts = '{\"charge_id\": 7}'", CHARGE),
    "a membership": ("decisions", "membership_updated = '5'", CHARGE),
    "an event": ("decisions", "payload = '\\xff'", PROPOSAL),
    "no event": ("decisions", "payload = NULL", PROPOSAL),
    "an instant": ("decisions", "occurred_at = '0044-03-15 BC'", PROPOSAL),
    "no topic": ("decisions", "topic = NULL", PROPOSAL),
    "no offset": ("decisions", '"offset" = NULL', PROPOSAL),
    "no batch": ("decisions", "batch_no = 999", PROPOSAL),
    "movements that are none": ("changes", "movements = '{}'", SPEND),
    "a movement that is none": ("changes", "movements = '[[1, 2, 3, \"x\"]]'", SPEND),
    "a change's instant": ("changes", "recorded_at = '294276-01-01'", SPEND),
    "draws": ("spends", "draws = '5'", "proposal_id = 'p-4'"),
    "a membership's day": ("memberships", "cycle_start = '0044-03-15 BC'", "freelancer_id = 'f-1'"),
    "a lot's instant": ("lots", "issued_at = '294276-01-01'", "freelancer_id = 'f-1'"),
}
"""What somebody wrote into f-1's rows: the table, what, and where."""

OF_ALL: Final = {
    "a batch without its grace": ("batches", "grace_seconds = 'NaN'", "batch_no = 2"),
    "a batch whose work is no work": ("batches", "closures_worked = '{1,2}'", "batch_no = 2"),
    "a batch that is missing": ("batches", "batch_no = 999", "batch_no = 2"),
    "a batch that ends nowhere": ("batches", "last_seq = 9223372036854775807", "batch_no = 2"),
    "a batch of another time": ("batches", "business_time = '0044-03-15 BC'", "batch_no = 2"),
    "a policy version": ("policies", "document = '{}'", "true"),
}
"""What somebody wrote into rows that the decisions of many rest on."""


class Damaged(Sealed):
    """A ledger, in which a lot of f-2 is not what it should be: what finds that has got to the end."""

    async def damage(self, table: str, what: str, where: str) -> None:
        assert await self.connection.execute(f"UPDATE {table} SET {what} WHERE {where}") != "UPDATE 0"  # noqa: S608

    async def findings(self, *checks: Check) -> list[Finding]:
        """What all checks of `connects verify` find, or these."""
        grace = owed_check(timedelta(seconds=30))
        return await self.found_by(
            *(checks or (hash_check(), totals_check(), grace, movements_check(), state_check(), again_check()))
        )


@pytest.fixture(scope="module")
def sealed_url(shared_stack: LocalStack) -> str:
    return new_ledger(shared_stack, "damaged")


@pytest.fixture
async def damaged(sealed_url: str) -> AsyncIterator[Damaged]:
    async with sealed_ledger(Damaged, sealed_url, (*HASHED, *CURRENT_STATE), write) as sealed:
        await sealed.connection.execute("UPDATE lots SET linked_to = 'x' WHERE lot_id = 'f-2:1'")
        yield sealed


@pytest.mark.parametrize("what", OF_F1)
async def test_a_row_costs_its_own_part(damaged: Damaged, what: str) -> None:
    (sound,) = await damaged.findings()
    assert (sound.check, sound.table) == ("current-state", "lots")
    await damaged.damage(*OF_F1[what])
    found = await damaged.findings()
    others = [one for one in found if one != sound]
    assert others, "it is named"
    assert not [one for one in others if "p-2" in one.detail], "what f-2 spent is as it should be"
    assert sound in found, "what another freelancer has is looked at all the same"
    assert not [one for one in found if "the rest of this check" in one.detail], found
    assert await damaged.findings(again_check_of(FreelancerId("f-2"))) == [sound]


@pytest.mark.parametrize("what", OF_ALL)
async def test_what_many_rest_on_costs_no_other_check(damaged: Damaged, what: str) -> None:
    await damaged.damage(*OF_ALL[what])
    found = await damaged.findings()
    assert ("hashes", "tampered") in {(one.check, one.cause) for one in found}, found
    assert {one.check for one in found} <= {"hashes", "current-state", "decided-again"}, found


async def test_a_freelancer_whom_nobody_named_is_refused(damaged: Damaged) -> None:
    with pytest.raises(UsageError, match="no event has named the freelancer 'f-none' yet"):
        await damaged.findings(again_check_of(FreelancerId("f-none")))
