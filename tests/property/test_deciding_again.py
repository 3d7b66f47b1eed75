"""Random histories decided by the real writer, then decided again from the record. By the same rules nothing is found;
with one rule changed on purpose exactly the decisions are found that it takes otherwise."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.deciding import as_read, deciding
from tests.kit.deciding_again import decide_again, seqs
from tests.kit.histories import History, MembershipYears, Record, listed
from tests.kit.policies import policies
from tests.property.played import in_order
from tests.property.test_writer_against_reference import Running, decide, running
from tests.property.variety import POLICIES, SEEDS, any_histories, looking
from worker.domain import policy as policy_module
from worker.domain.booking import Booking
from worker.domain.rules import charges, grants, monthly, refunds
from worker.ledger.memory_store import MemoryStore
from worker.ledger.tables import ChangeRow, DecisionRow
from worker.proof import triggers
from worker.proof.again import Again
from worker.proof.memory_reader import MemoryReader
from worker.proof.memory_rows import MemoryRows
from worker.proof.parts import Part
from worker.proof.run import decide_part

LIMIT_SECONDS = 60
Row = DecisionRow


async def decided(records: list[Record], policy: str, how: Running) -> MemoryStore:
    """A ledger in memory in which the real writer has decided these records."""
    text = POLICIES[policy]
    rows = in_order(records, text)
    end = max((row["business_time"] for row in rows if row["business_time"]), default=None)
    store = MemoryStore()
    async with (
        asyncio.timeout(LIMIT_SECONDS),
        deciding(store, policies(text), batch_size=how.batch_size) as decides,
    ):
        decides.add_policies()
        await decides.writer.advance({})
        await decide(decides, as_read(rows), how, end)
    return store


@looking(examples=120)
@given(
    records=any_histories(),
    policy=st.sampled_from(sorted(POLICIES)),
    how=running,
    parts=st.sampled_from((1, 1, 3)),
    chunk=st.sampled_from((1, 2, 7, 1_000)),
)
def test_by_the_same_rules_nothing_is_found(
    records: list[Record], policy: str, how: Running, parts: int, chunk: int
) -> None:
    async def compare() -> None:
        store = await decided(records, policy, how)
        found = await decide_again(MemoryReader(store, chunk), parts, MemoryRows(store.tables))
        told = f"{found}\npolicy {policy!r}, {how}, {parts} parts\n{listed(records)}"
        assert not found.findings, told
        assert (found.tally.row_count, found.tally.not_compared) == (0, 0), told
        assert found.tally.compared == rows_compared(store), told
        assert found.tally.decisions + found.tally.inputs == len(list(store.tables.decisions)), told
        assert (found.tally.words, found.tally.skipped, found.tally.older) == (0, 0, 0), told

    asyncio.run(compare())


@looking(examples=40)
@given(records=any_histories(), policy=st.sampled_from(sorted(POLICIES)), how=running)
def test_nothing_is_found_up_to_the_end_of_any_batch(records: list[Record], policy: str, how: Running) -> None:
    """What a trigger brought with it is never in two batches."""

    async def compare() -> None:
        store = await decided(records, policy, how)
        for batch in store.tables.batches:
            again = Again()
            found = [one async for one in decide_part(MemoryReader(store), Part(), batch.last_seq, again)]
            assert not found, f"batch {batch.batch_no}: {found}\npolicy {policy!r}, {how}\n{listed(records)}"

    asyncio.run(compare())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("parts", [1, 4])
def test_of_a_marketplaces_month_nothing_is_found(seed: int, parts: int) -> None:
    store = asyncio.run(a_month(seed, "changing"))
    found = asyncio.run(decide_again(MemoryReader(store), parts, MemoryRows(store.tables)))
    assert not found.findings, f"TEST_SEED={seed}\n{found}"
    assert (found.tally.row_count, found.tally.not_compared) == (0, 0), f"TEST_SEED={seed}\n{found}"
    assert found.tally.compared == rows_compared(store)
    assert found.tally.decisions + found.tally.inputs == len(list(store.tables.decisions))


def rows_compared(store: MemoryStore) -> int:
    """How many rows of current state there are to compare: all of them, once."""
    tables = store.tables
    made = (tables.lots, tables.spends, tables.memberships, tables.charges, tables.closures, tables.hires)
    return sum(len(list(table)) for table in (*made, tables.held, tables.awaiting, tables.due))


async def a_month(seed: int, policy: str) -> MemoryStore:
    history = History(seed, events=2_000, jobs=100, late=0.03, poison=0.03)
    how = Running(cuts=((500, False), (501, True)), batch_size=400, days_more=400)
    return await decided(list(history), policy, how)


# One rule changed on purpose. Each change says which recorded decisions it touches.

IsTouched = Callable[[Row, list[ChangeRow]], bool]


def facts(row: Row) -> dict[str, Any]:
    named: dict[str, Any] = json.loads(row.facts)
    return named


def moved(changes: list[ChangeRow], *rules: str) -> list[tuple[ChangeRow, str | None, str | None, int]]:
    """The movements of changes under these rules: the change, the lot, the spend line, the delta."""
    return [
        (change, lot_id, line, delta)
        for change in changes
        if change.rule in rules
        for lot_id, _, line, delta in json.loads(change.movements)
    ]


def more_for_a_certification(patch: pytest.MonkeyPatch) -> IsTouched:
    whole = grants.grant

    def grant(books: Any, trigger: Any, policy: Any, reason: str, connects: int, more: Any = None) -> Any:  # noqa: ANN401
        return whole(books, trigger, policy, reason, connects + (reason == "certified"), more)

    patch.setattr(grants, "grant", grant)
    return lambda row, _: row.reason == "certified"


def no_weekly_cap(patch: pytest.MonkeyPatch) -> IsTouched:
    patch.setattr(grants, "_granted_in_window", lambda *_: 0)
    return lambda row, _: row.reason == "weekly-cap" or ("cut_to_cap" in facts(row) and facts(row)["granted"] > 0)


def a_registration_that_expires_sooner(patch: pytest.MonkeyPatch) -> IsTouched:
    """What expires then is recorded all the same: the record's own lots count."""
    patch.setattr(policy_module, "_years_later", lambda instant, years: instant + timedelta(days=364 * years))
    return lambda _, changes: any(change.natural_key is not None and change.delta > 0 for change in changes)


def an_expired_job_with_another_reason(patch: pytest.MonkeyPatch) -> IsTouched:
    declined = refunds._declined  # noqa: SLF001
    other = {"job-expired": "somebody-was-hired"}
    patch.setattr(refunds, "_declined", lambda reason, told: declined(other.get(reason, reason), told))
    return lambda row, _: row.reason == "job-expired"


def refunds_that_last_longer(patch: pytest.MonkeyPatch) -> IsTouched:
    give_back = Booking.give_back

    def into_new_lots(self: Any, spend: Any, lines: Any, instant: Any, policy: Any, source: str) -> Any:  # noqa: ANN401
        return give_back(self, spend, lines, instant, replace(policy, ending_lot=timedelta(days=800)), source)

    patch.setattr(Booking, "give_back", into_new_lots)
    return lambda _, changes: any(
        delta > 0 and lot_id is not None and not lot_id.startswith(f"{change.freelancer_id}:{change.version}")
        for change, lot_id, _, delta in moved(changes, refunds.SETTLEMENT, refunds.OUTBID)
    )


def only_one_line_taken_back(patch: pytest.MonkeyPatch) -> IsTouched:
    patch.setattr(refunds, "_lines_to_take", lambda spend: [line for line in spend.lines if line.connects][:1])

    def is_touched(_: Row, changes: list[ChangeRow]) -> bool:
        taken = [json.loads(change.movements) for change in changes if change.rule == refunds.CLAW_BACK]
        lines = {(proposal_id, line) for movements in taken for _, proposal_id, line, _ in movements}
        return any((proposal_id, "base") in lines for proposal_id, line in lines if line == "boost")

    return is_touched


def more_each_month(patch: pytest.MonkeyPatch) -> IsTouched:
    whole = monthly._grant  # noqa: SLF001

    def grant(books: Any, freelancer_id: Any, rule: str, reason: str, key: str, connects: int, *more: Any) -> Any:  # noqa: ANN401
        return whole(books, freelancer_id, rule, reason, key, connects + 1, *more)

    patch.setattr(monthly, "_grant", grant)
    return lambda _, changes: any(change.rule in {monthly.MONTHLY, monthly.UPGRADE} for change in changes)


def nothing_is_withheld(patch: pytest.MonkeyPatch) -> IsTouched:
    patch.setattr(monthly, "suspended_before", lambda *_: frozenset())
    return lambda row, _: row.outcome == "withheld"


def a_dearer_plus(patch: pytest.MonkeyPatch) -> IsTouched:
    asked = charges.what_is_asked

    def what_is_asked(membership: Any, policy: Any) -> Any:  # noqa: ANN401
        promo, cents, source = asked(membership, policy)
        return promo, cents + 100 if cents else 0, source

    patch.setattr(charges, "what_is_asked", what_is_asked)
    return lambda row, _: row.reason == "charge-requested"


CHANGES_OF_RULES = {
    more_for_a_certification: "month",
    no_weekly_cap: "month",
    a_registration_that_expires_sooner: "month",
    an_expired_job_with_another_reason: "month",
    refunds_that_last_longer: "month",
    only_one_line_taken_back: "late month",
    more_each_month: "years",
    nothing_is_withheld: "years",
    a_dearer_plus: "years",
}


@pytest.fixture(scope="module")
def ledgers() -> dict[str, MemoryStore]:
    """A month of a marketplace, with all that expires; one where much comes late; years of memberships."""
    how = Running(batch_size=400, days_more=400)
    mix = {"propose": 40.0, "close": 15.0, "hire": 25.0, "outbid": 0.0}
    late = History(SEEDS[0], freelancers=20, jobs=40, events=1_500, late=0.3, late_by=timedelta(days=3), mix=mix)
    years = MembershipYears(SEEDS[0], freelancers=50, years=2, late=0.02)
    return {
        "month": asyncio.run(a_month(SEEDS[0], "nothing for registering")),
        "late month": asyncio.run(decided(list(late), "claw-back", how)),
        "years": asyncio.run(decided(list(years), "changing", how)),
    }


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("change", CHANGES_OF_RULES)
def test_one_rule_changed_is_found_at_just_the_decisions_that_it_takes_otherwise(
    ledgers: dict[str, MemoryStore],
    change: Callable[[pytest.MonkeyPatch], IsTouched],
    parts: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ledgers[CHANGES_OF_RULES[change]]
    expected = touched(store, change(monkeypatch))
    found = asyncio.run(decide_again(MemoryReader(store), parts))
    assert expected
    assert found.seqs("code-changed") == expected, str(found)
    assert found.seqs("inconsistent", "not-due", "not-executable") == [], str(found)


@pytest.mark.parametrize("parts", [1, 3])
def test_clock_work_that_is_not_due_by_the_clocks_own_conditions_is_found(
    ledgers: dict[str, MemoryStore], parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = triggers.lot_due
    monkeypatch.setattr(triggers, "lot_due", lambda *one: None if one[1].startswith("f-1") else due(*one))
    store = ledgers["month"]
    expected = touched(store, lambda row, _: (row.event_id or "").startswith("expiry:f-1"))
    found = asyncio.run(decide_again(MemoryReader(store), parts))
    assert expected
    assert found.seqs("not-due") == expected
    assert found.seqs("code-changed", "inconsistent", "not-executable") == [], str(found)


def touched(store: MemoryStore, is_touched: IsTouched) -> list[int]:
    changes: dict[int, list[ChangeRow]] = {}
    for change in store.tables.changes:
        changes.setdefault(change.decision_seq, []).append(change)
    return seqs(row for row in store.tables.decisions if is_touched(row, changes.get(row.seq, [])))
