"""Rows of current state that somebody altered, removed or added: `connects verify` names each of them.

No hash covers these tables. What their rows should be follows from the decisions. In each round one value is altered in
every table, then the ledger is put back.
"""

import re
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import asyncpg
import pytest

from tests.kit.deciding import deciding
from tests.kit.policies import policies, policy_text, with_promo_codes
from tests.kit.stacks import new_ledger
from tests.kit.story import day
from tests.kit.tampering import BY_TYPE, Sealed, sealed_ledger
from tests.property.test_writer_found_before import Timeline
from worker.domain.model import FreelancerId
from worker.domain.rules import grants
from worker.embedded.stack import LocalStack
from worker.proof.checks import Check, Finding
from worker.proof.ledger_checks import again_check, again_check_of
from worker.proof.state_check import state_check

KEYS: Final = {
    "lots": ("freelancer_id", "lot_id"),
    "spends": ("proposal_id",),
    "memberships": ("freelancer_id",),
    "charges": ("freelancer_id", "charge_id"),
    "closures": ("decision_seq",),
    "hires": ("job_id",),
    "held": ("decision_seq",),
    "awaiting": ("proposal_id", "decision_seq"),
    "due": ("kind", "key"),
    "parked": ("scope", "key"),
    "parked_triggers": ("decision_seq",),
    "positions": ("topic", "partition"),
    "seen_events": ("key",),
}
TIED: Final = {
    ("lots", "open"): "a constraint holds it to `remaining`",
    ("spends", "owing"): "a constraint holds it to the debts",
}
NOT_IN_THE_LEDGER: Final = {
    ("parked", "error"): "the decision has what is told of it",
    ("parked", "since"): "the decision says when",
    ("positions", "last_timestamp"): "of the record in the topic: `--against topics` compares it",
    ("positions", "last_hash"): "likewise",
}
OTHER: Final = {
    ("lots", "remaining"): "remaining - 1",
    ("spends", "base_debt"): "base_debt - 1",
    ("spends", "boost_debt"): "boost_debt - 1",
    ("memberships", "plan"): "CASE plan WHEN 'basic' THEN 'plus' ELSE 'basic' END",
    ("memberships", "cycle_start"): "cycle_start - 1",
    ("charges", "kind"): "CASE kind WHEN 'upgrade' THEN 'renewal' ELSE 'upgrade' END",
    ("charges", "source"): "CASE source WHEN 'payment-method' THEN 'earnings-balance' ELSE 'payment-method' END",
    ("charges", "status"): "'lapsed'",
    ("due", "kind"): "'late-settlement'",
    ("due", "key"): "key || '9'",
    ("parked", "scope"): "'job'",
    ("parked_triggers", "scope"): "'job'",
    ("positions", "next_offset"): "next_offset - 1",
}
"""Where a constraint refuses the value that `MORE_TYPES` makes, or its row alone does not show it."""
WHERE: Final = {
    ("lots", "remaining"): "remaining > 1",
    ("spends", "base_debt"): "base_debt > 1",
    ("spends", "boost_debt"): "boost_debt > 1",
    ("due", "kind"): "kind = 'settlement'",
}
MORE_TYPES: Final = {**BY_TYPE, "boolean": "NOT {0}", "date": "{0} + 1", "json": "'[]'"}


class SealedState(Sealed):
    """One whose current state is compared with its decisions."""

    async def findings(self, *checks: Check) -> list[Finding]:
        return await self.found_by(*(checks or (state_check(), again_check())))

    async def rows(self, table: str, where: str = "true") -> list[asyncpg.Record]:
        keys = ", ".join(KEYS[table])
        return list(await self.connection.fetch(f"SELECT * FROM {table} WHERE {where} ORDER BY {keys}"))  # noqa: S608


@pytest.fixture(scope="module")
def sealed_url(shared_stack: LocalStack) -> str:
    return new_ledger(shared_stack, "tampering")


@pytest.fixture
async def sealed(sealed_url: str) -> AsyncIterator[SealedState]:
    """Rows in every table of current state, and copies of these beside it."""
    async with sealed_ledger(SealedState, sealed_url, KEYS, write) as sealed:
        yield sealed


async def write(url: str, _: asyncpg.Connection) -> None:
    """Debts, a return, a lot that ended, a membership with all that one may have, and what waits."""
    timeline, book = Timeline(), policies(with_promo_codes(policy_text()))

    def of(topic: str, at: float, who: str = "f-1", **fields: Any) -> Any:  # noqa: ANN401
        return timeline.event(topic, day(at), freelancer_id=who, **fields)

    def proposal(number: int, at: float, connects: int, boost: int, who: str = "f-1") -> Any:  # noqa: ANN401
        named = {"job_id": f"j-{number}", "proposal_id": f"p-{number}", "origin": "proposal"}
        return of("proposal-submitted", at, who, connects=connects, boost_connects=boost, **named)

    async with deciding(url, book) as decides:
        decides.add_policies()
        await decides.writer.advance({})
        await decides.decide([timeline.registered(day(0)), timeline.registered(day(0), "f-2")])
        await decides.until(day(360))
        await decides.decide(
            [
                timeline.bought(day(361), 7, "f-2"),
                proposal(1, 361, 5, 3),
                of("proposal-withdrawn", 361.1, job_id="j-1", proposal_id="p-1"),
                proposal(2, 362, 2, 2, "f-2"),
                timeline.closed(day(362.1), job="j-2"),
                timeline.event("hire-made", day(362.2), freelancer_id="f-2", job_id="j-3", contract_id="c-1"),
                of("earnings-balance-updated", 362.3, available_cents=500),
                of("account-suspended", 362.4, scope="billing-method"),
                of("account-reinstated", 362.5, scope="billing-method"),
                of("promo-code-entered", 362.6, promo_code="WELCOME"),
                of("membership-plan-chosen", 362.7, plan="plus"),
            ]
        )
        await decides.until(day(380))
        await decides.decide(
            [
                proposal(4, 380, 100, 20),
                proposal(5, 380, 300, 20),
                of(
                    "membership-charge-settled",
                    380.1,
                    charge_id="f-1:unknown:1",
                    outcome="paid",
                    source="payment-method",
                ),
                of("boost-outbid", 380.2, "f-2", job_id="j-9", proposal_id="p-9"),
                timeline.closed(day(380.3), job="j-4"),
            ]
        )
        await decides.commit()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(grants, "grant", None)
            await decides.decide([of("badge-earned", 380.4, "f-3", badge="rising-talent")])
            await decides.decide([of("badge-earned", 380.4, "f-3", badge="top-rated")])
            await decides.decide([timeline.closed(day(380.4), job="j-5")])
            await decides.commit()


async def test_of_what_nobody_altered_nothing_is_found(sealed: SealedState) -> None:
    assert await sealed.findings() == []
    for table in KEYS:
        assert await sealed.rows(table), table
    for name in ("f-1", "f-2"):
        assert await sealed.findings(again_check_of(FreelancerId(name))) == []


async def test_every_column_that_is_altered_is_named(sealed: SealedState) -> None:
    columns = await columns_of(sealed)
    unnamed, altered = [], 0
    for number in range(max(map(len, columns.values()))):
        changed = {
            table: (names[number][0], await alter(sealed, table, *names[number]))
            for table, names in columns.items()
            if number < len(names)
        }
        findings = await sealed.findings()
        unnamed += [
            (table, column, row, [one for one in findings if one.table == table])
            for table, (column, row) in changed.items()
            if not is_named(findings, table, row)
        ]
        altered += len(changed)
        await sealed.put_back()
    assert unnamed == [], "\n".join(map(str, unnamed))
    assert altered == sum(map(len, columns.values())) > 70
    assert await sealed.findings() == []


async def columns_of(sealed: SealedState) -> dict[str, list[tuple[str, str]]]:
    """The columns with a meaning, and their types, by table."""
    rows = await sealed.connection.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = ANY($1::text[]) ORDER BY ordinal_position",
        list(KEYS),
    )
    found: dict[str, list[tuple[str, str]]] = {table: [] for table in KEYS}
    for table, column, type_ in rows:
        if (table, column) not in {**TIED, **NOT_IN_THE_LEDGER}:
            found[table].append((column, type_))
    return found


async def alter(sealed: SealedState, table: str, column: str, type_: str) -> asyncpg.Record:
    """Alter one value of a column, of a row that has one; the row as it was."""
    where = WHERE.get((table, column), "true")
    rows = await sealed.connection.fetch(
        f'SELECT *, ctid::text FROM {table} WHERE {where} ORDER BY "{column}" IS NULL, {", ".join(KEYS[table])}'  # noqa: S608
    )
    with_value = [row for row in rows if row[column] not in {None, "[]"}] or rows
    row = with_value[len(with_value) // 2]
    value = OTHER.get((table, column)) or MORE_TYPES[type_].format(f'"{column}"')
    await sealed.connection.execute(f"UPDATE {table} SET \"{column}\" = {value} WHERE ctid = '{row['ctid']}'")  # noqa: S608
    return row


def is_named(findings: Iterable[Finding], table: str, row: asyncpg.Record) -> bool:
    """Whether a finding names the table and the key."""
    words = [re.escape(str(row[name])) for name in KEYS[table][-1:]]
    if table in {"hires", "closures"}:
        words = [re.escape(row["job_id"])]
    if table == "positions":
        words = [re.escape(f"{row['topic']}/{row['partition']}")]
    if table == "parked":  # what waits behind it is without it
        return any(finding.table in {"parked", "parked_triggers"} for finding in findings)
    if table == "seen_events":
        return any(finding.cause == "inconsistent" for finding in findings)
    return any(
        (finding.table, finding.cause) == (table, "inconsistent")
        and all(re.search(rf"(^|\W){word}\W", finding.detail) for word in words)
        for finding in findings
    )


@pytest.mark.parametrize("table", KEYS)
async def test_a_row_that_is_removed_is_named(sealed: SealedState, table: str) -> None:
    rows = await sealed.rows(table)
    row = rows[len(rows) // 2]
    where = " AND ".join(f"{name} = ${place}" for place, name in enumerate(KEYS[table], 1))
    await sealed.connection.execute(f"DELETE FROM {table} WHERE {where}", *(row[name] for name in KEYS[table]))  # noqa: S608
    findings = await sealed.findings()
    assert is_named(findings, table, row), findings


ADDED: Final = {
    "a lot of a wallet": ("lots", {"lot_id": "lot_id || 'x'"}),
    "a lot of nobody": ("lots", {"freelancer_id": "'f-x'"}),
    "a spend": ("spends", {"proposal_id": "'p-x'"}),
    "a membership": ("memberships", {"freelancer_id": "'f-x'"}),
    "a charge": ("charges", {"charge_id": "charge_id || 'x'"}),
    "a closure of a job": ("closures", {"closure": "'expired'", "decision_seq": "1"}),
    "a closure of no job": ("closures", {"job_id": "'j-x'", "decision_seq": "1"}),
    "a hire of a job": ("hires", {"job_id": "'j-1'"}),
    "a hire of no job": ("hires", {"job_id": "'j-x'"}),
    "something held": ("held", {"decision_seq": "1"}),
    "something that waits for a proposal": ("awaiting", {"proposal_id": "'p-1'"}),
    "work for the schedule": ("due", {"key": "'999'"}),
    "a wallet that is stopped": ("parked", {"key": "'f-1'"}),
    "a job that is stopped": ("parked", {"scope": "'job'", "key": "'j-9'", "decision_seq": "1"}),
    "a trigger that waits": ("parked_triggers", {"decision_seq": "1"}),
    "a position": ("positions", {"partition": "9"}),
    "an event id": ("seen_events", {"key": "gen_random_uuid()"}),
}


@pytest.mark.parametrize("what", ADDED)
async def test_a_row_that_is_added_is_named(sealed: SealedState, what: str) -> None:
    table, other = ADDED[what]
    names = await sealed.connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1", table
    )
    columns = [f'"{row[0]}"' for row in names]
    values = ", ".join(other.get(name.strip('"'), name) for name in columns)
    await sealed.connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} LIMIT 1"  # noqa: S608
    )
    findings = await sealed.findings()
    assert (table, "inconsistent") in {(finding.table, finding.cause) for finding in findings}, findings
