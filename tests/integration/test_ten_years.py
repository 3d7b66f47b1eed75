"""Ten years of a thousand memberships, decided by workers that keep dying, against the model; and made once more.

Whole sizes: TEST_YEARS_FREELANCERS (1000), TEST_YEARS (10), TEST_YEARS_KILLS (10). TEST_YEARS_SEED says which.
"""

import os
from datetime import UTC, datetime, timedelta

import pytest

from tests.kit.dying import work_off_while_dying
from tests.kit.histories import MembershipYears
from tests.kit.invariants import check_log, check_memberships_published, check_positions, check_published
from tests.kit.policies import policies
from tests.kit.produce import anywhere
from tests.kit.rebuild import differences, rebuild
from tests.kit.sizes import size
from tests.kit.world import PARTITIONS, POLICY, World, copy_of
from tests.model.ledger import check, read_ledger
from worker.embedded.stack import LocalStack

FREELANCERS = size("YEARS_FREELANCERS", 1_000, least=20)
YEARS = float(os.environ.get("TEST_YEARS", "10"))
KILLS = size("YEARS_KILLS", 10, least=3)
SEED = int(os.environ.get("TEST_YEARS_SEED", "12"))


WHAT_IT_IS_FOR = {
    *("cycle-started", "account-suspended", "upgraded", "renewed", "charge-failed", "charge-retried", "downgraded"),
    *("downgrade-cancelled", "paid-after-lapse", "charge-already-settled", "awaits-cycle-start", "unknown-charge"),
    *("suspended", "reinstated", "lot-expired", "already-decided"),
}


def the_years() -> MembershipYears:
    """Years that ended the day before yesterday: all of it is a catch-up, whenever the test runs."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = today - timedelta(days=365.25 * YEARS + 2)
    return MembershipYears(SEED, FREELANCERS, YEARS, start=start, late=0.03, late_by=timedelta(days=45))


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_ten_years_of_memberships_decided_by_workers_that_keep_dying_are_the_models_and_come_out_again(
    world: World, stack: LocalStack, migrated: str
) -> None:
    world.grace_seconds = 30
    history = the_years()
    sizes = f"TEST_YEARS={YEARS} TEST_YEARS_FREELANCERS={FREELANCERS} TEST_YEARS_KILLS={KILLS}"
    print(f"replay with {sizes} TEST_YEARS_SEED={SEED}: {history!r}")  # noqa: T201 - shown when the test fails
    await world.produce(history, anywhere(PARTITIONS, SEED))
    await work_off_while_dying(world, 2 * len(history), KILLS, SEED)
    await world.settled()
    last = world.workers[-1]
    last.terminate()  # what is due from now on is left to nobody
    await last.ended()

    await check_positions(world)
    await check_published(world)
    await check_memberships_published(world)
    await check_log(world)
    await check_against_the_model(world)
    async with copy_of(stack, migrated) as rebuilt:
        assert await rebuild(world.database_url, rebuilt, policies()) == len(history)
        found = await differences(world.database_url, rebuilt)
        assert not found, "\n".join(found)


async def check_against_the_model(world: World) -> None:
    """Every decision, membership and charge, and that the history had in it what it is for."""
    ledger = await read_ledger(world.database_url)
    decided = {row["reason"] for row in ledger.decisions}
    assert decided >= WHAT_IT_IS_FOR, f"too small a history: no {WHAT_IT_IS_FOR - decided}"
    assert any(row["late_by_seconds"] for row in ledger.decisions)
    report = check(ledger, POLICY, grace_seconds=world.grace_seconds, movements_in_order=False)
    assert report.ok, str(report)
