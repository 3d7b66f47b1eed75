"""A ledger that somebody altered behind the triggers' back: `connects verify` names each row, whatever was altered.

Every column of what is hashed is altered once, and rows are removed, added and exchanged. The ledger is put back after
each.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import asyncpg
import pytest

from tests.contract.test_the_log import COMMAND
from tests.kit.deciding import deciding
from tests.kit.policies import policies
from tests.kit.stacks import new_ledger
from tests.kit.story import day
from tests.kit.tampering import BY_TYPE, Sealed, sealed_ledger
from tests.property.test_writer_found_before import Timeline
from worker.embedded.stack import LocalStack
from worker.engine.commands import CommandRunner, read_command
from worker.errors import UsageError
from worker.proof.checks import Finding, Range
from worker.proof.hash_check import hash_check, head
from worker.proof.heads import Head

KEYS: Final = {
    "decisions": "seq",
    "changes": "decision_seq, ordinal",
    "batches": "batch_no",
    "policies": "version",
    "commands": "id",
}
"""What is hashed, and the order of its rows."""

NO_MEANING: Final = {
    ("policies", "stored_at"): "the database's clock; the batch that stored it says when, by recorded_at",
    ("commands", "answered_at"): "likewise; that it is there is compared with the decision on the command",
}

OTHER: Final = {
    ("decisions", "seq"): "1000000 + seq",
    ("decisions", "kind"): "'settlement'",
    ("decisions", "outcome"): "'withheld'",
    ("decisions", "offset"): '1000000 + "offset"',
    ("changes", "version"): "1000000 + version",
    ("changes", "decision_seq"): "1000000 + decision_seq",
    ("batches", "batch_no"): "1000000 + batch_no",
    ("batches", "outbox_seq"): "1000000 + outbox_seq",
    ("batches", "policy_versions"): "policy_versions || ARRAY['x']",
    ("commands", "id"): "gen_random_uuid()",
}
"""Where a constraint refuses the value that `MORE_TYPES` makes."""

MORE_TYPES: Final = {
    **BY_TYPE,
    "double precision": "coalesce({0}, 0) + 1",
    "json": "(coalesce({0}::text, '[]') || ' ')::json",
    "bytea": "coalesce(set_byte({0}, octet_length({0}) - 1, get_byte({0}, octet_length({0}) - 1) # 1), 'x')",
    "ARRAY": "CASE WHEN {0} IS NULL THEN ARRAY[ARRAY[1, 2]]::bigint[] ELSE {0} || {0} END",
}
OTHER_JSON: Final = {("commands", "arguments"): """'{"scope": "job", "key": "j-2"}'"""}
"""A space more in a command's arguments has no meaning."""


class SealedLog(Sealed):
    """One whose hashes are checked, against heads that were kept as well: `heads`, of all its batches."""

    async def findings(self, outside: Head | None = None, of: Range = Range()) -> list[Finding]:  # noqa: B008
        return await self.found_by(hash_check(outside), of=of)

    async def note_heads(self) -> None:
        rows = await self.connection.fetch("SELECT log_size, chain_head FROM sealed.batches ORDER BY batch_no")
        self.heads = [Head(*row) for row in rows]


@pytest.fixture(scope="module")
def sealed_url(shared_stack: LocalStack) -> str:
    return new_ledger(shared_stack, "tampering")


@pytest.fixture
async def sealed(sealed_url: str) -> AsyncIterator[SealedLog]:
    """Every kind of decision, late ones, debts, policies, a command; copies of the tables beside it."""
    async with sealed_ledger(SealedLog, sealed_url, KEYS, write) as sealed:
        await sealed.note_heads()
        yield sealed


async def write(url: str, connection: asyncpg.Connection) -> None:
    timeline, book = Timeline(), policies()
    async with deciding(url, book) as decides:
        decides.add_policies()
        await decides.writer.advance({})
        named = {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": "p-1"}
        await decides.decide([timeline.registered(day(0)), timeline.event("boost-outbid", day(0), **named)])
        await decides.commit()
        await decides.decide(
            [timeline.proposed(day(1), 45), timeline.bought(day(1), 7, "f-2"), timeline.closed(day(2))]
        )
        await decides.commit()
        await decides.until(day(3))
        columns = "id, name, arguments, actor, why, asked_at"
        await connection.execute(f"INSERT INTO commands ({columns}) VALUES ($1, $2, $3, $4, $5, $6)", *COMMAND)  # noqa: S608
        (asked,) = await decides.store.open_commands()
        await CommandRunner(decides.writer).run(read_command(asked))
        await decides.until(day(400))


async def test_what_nobody_altered_has_no_findings(sealed: SealedLog) -> None:
    assert await sealed.findings() == []
    for kept in sealed.heads:
        assert await sealed.findings(kept) == []
    assert await head(sealed.connection) == sealed.heads[-1]


async def test_every_column_that_is_altered_is_named(sealed: SealedLog) -> None:
    columns = await sealed.connection.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = ANY($1::text[]) ORDER BY 1, ordinal_position",
        list(KEYS),
    )
    unnamed, altered = [], 0
    for table, column, type_ in columns:
        if (table, column) in NO_MEANING:
            continue
        changed = await alter(sealed, table, column, type_)
        findings = await sealed.findings()
        if not any(is_about(finding, table, changed) for finding in findings):
            unnamed.append((table, column, changed, findings))
        await sealed.put_back()
        altered += 1
    assert unnamed == []
    assert altered + len(NO_MEANING) == len(columns)
    assert altered > 60
    assert await sealed.findings() == []


async def alter(sealed: SealedLog, table: str, column: str, type_: str) -> asyncpg.Record:
    """Alter one value of a column, in the middle of the ledger if it has any there; the row as it was."""
    rows = await sealed.connection.fetch(
        f'SELECT *, ctid::text FROM {table} ORDER BY "{column}" IS NULL, {KEYS[table]}'  # noqa: S608
    )
    with_value = [row for row in rows if row[column] is not None] or rows
    row = with_value[len(with_value) // 2]
    value = OTHER_JSON.get((table, column)) or OTHER.get((table, column)) or MORE_TYPES[type_].format(f'"{column}"')
    await sealed.connection.execute(f"UPDATE {table} SET \"{column}\" = {value} WHERE ctid = '{row['ctid']}'")  # noqa: S608
    return row


def is_about(finding: Finding, table: str, row: asyncpg.Record) -> bool:
    """Whether a finding names the table, and the decision or batch that the row belongs to."""
    if finding.cause != "tampered" or finding.table != table:
        return False
    match table:
        case "decisions":
            return finding.seq == row["seq"]
        case "changes":
            return finding.seq == row["decision_seq"]
        case "batches" | "policies":
            return finding.batch_no == row["batch_no"]
    return True


REMOVED: Final = {
    "decisions": "seq = 4",
    "changes": "decision_seq = 3",
    "batches": "batch_no = 3",
    "policies": "version = (SELECT max(version) FROM policies)",
    "commands": "true",
}


@pytest.mark.parametrize("table", KEYS)
async def test_a_row_that_is_removed_is_named(sealed: SealedLog, table: str) -> None:
    row = await sealed.connection.fetchrow(f"DELETE FROM {table} WHERE {REMOVED[table]} RETURNING *")  # noqa: S608
    findings = await sealed.findings()
    assert any(is_about(finding, table, row) for finding in findings), findings
    assert {finding.table for finding in findings} <= {table, *(["changes"] if table == "decisions" else [])}


ADDED: Final = {
    "a decision after the end": ("decisions", {"seq": "seq + 1000", "event_id": "'e-added'", "offset": "99"}),
    "a decision before the beginning": ("decisions", {"seq": "-seq", "event_id": "'e-added'", "offset": "99"}),
    "a change of a decision": (
        "changes",
        {"version": "version + 100", "ordinal": "ordinal + 1", "natural_key": "NULL"},
    ),
    "a change of no decision": (
        "changes",
        {"version": "version + 100", "decision_seq": "decision_seq + 1000", "natural_key": "NULL"},
    ),
    "a batch": ("batches", {"batch_no": "batch_no + 100", "outbox_seq": "NULL"}),
    "a policy of a batch": ("policies", {"version": "version || 'x'"}),
    "a policy of no batch": ("policies", {"version": "version || 'x'", "batch_no": "1000"}),
    "a policy before the log": ("policies", {"version": "version || 'x'", "batch_no": "0"}),
    "a command with a reply": ("commands", {"id": "gen_random_uuid()"}),
}


@pytest.mark.parametrize("what", ADDED)
async def test_a_row_that_is_added_is_named(sealed: SealedLog, what: str) -> None:
    table, other = ADDED[what]
    names = await sealed.connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1", table
    )
    columns = [f'"{row[0]}"' for row in names]
    given = {f'"{name}"': value for name, value in other.items()}
    values = ", ".join(given.get(name, name) for name in columns)
    await sealed.connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)})"  # noqa: S608
        f" SELECT {values} FROM {table} ORDER BY {KEYS[table]} LIMIT 1"
    )
    findings = await sealed.findings()
    assert table in {finding.table for finding in findings}, findings


EXCHANGED: Final = {
    "decisions": ("seq", 2, 3),
    "changes": ("decision_seq", 3, 4),
    "batches": ("batch_no", 2, 3),
}


@pytest.mark.parametrize("table", ["decisions", "changes", "batches"])
async def test_rows_that_are_exchanged_are_named(sealed: SealedLog, table: str) -> None:
    column, one, other = EXCHANGED[table]
    for before, after in ((one, -1), (other, one), (-1, other)):
        await sealed.connection.execute(f"UPDATE {table} SET {column} = {after} WHERE {column} = {before}")  # noqa: S608
    findings = await sealed.findings()
    name = "batch_no" if table == "batches" else "seq"
    named = {getattr(finding, name) for finding in findings if finding.table == table}
    assert {one, other} <= named, findings


async def cut(sealed: SealedLog, batch_no: int) -> None:
    """Remove the end of the ledger, from a batch on, as if it had never been."""
    seq = await sealed.connection.fetchval("SELECT last_seq FROM batches WHERE batch_no = $1", batch_no - 1)
    for table, condition in {
        "changes": f"decision_seq > {seq}",
        "decisions": f"seq > {seq}",
        "policies": f"batch_no >= {batch_no}",
        "commands": "true",
        "batches": f"batch_no >= {batch_no}",
    }.items():
        await sealed.connection.execute(f"DELETE FROM {table} WHERE {condition}")  # noqa: S608


async def test_decisions_whose_batches_were_all_removed_are_named(sealed: SealedLog) -> None:
    await sealed.connection.execute("DELETE FROM batches")
    decisions = await sealed.connection.fetchval("SELECT count(*) FROM decisions")
    findings = await sealed.findings()
    assert sum((one.cause, one.table) == ("tampered", "decisions") for one in findings) == decisions


async def test_an_end_that_is_cut_off_is_noticed_by_a_head_kept_outside(sealed: SealedLog) -> None:
    await cut(sealed, 4)
    assert await sealed.findings() == [], "what is left is a whole ledger, as it was once"
    assert await sealed.findings(sealed.heads[2]) == []
    (finding,) = await sealed.findings(sealed.heads[-1])
    assert (finding.cause, finding.table, finding.batch_no) == ("truncated", "batches", 4)


async def test_a_history_that_was_rewritten_with_new_hashes_is_noticed_by_a_head_kept_outside(
    sealed: SealedLog,
) -> None:
    await cut(sealed, 4)
    async with deciding(sealed.url, policies()) as decides:
        await decides.decide([Timeline().event("badge-earned", day(4), freelancer_id="f-9", badge="rising-talent")])
        for _ in range(9):
            await decides.writer.advance({})
        await decides.commit()
    assert await sealed.findings() == []
    findings = await sealed.findings(sealed.heads[4])
    assert [(finding.cause, finding.table) for finding in findings] == [("tampered", "batches")]
    assert "rewritten" in findings[0].detail


async def test_a_range_is_checked_by_itself_from_the_log_of_the_batch_before(sealed: SealedLog) -> None:
    last = await sealed.connection.fetchval("SELECT max(seq) FROM decisions")
    for first in range(1, last + 1):
        assert await sealed.findings(of=Range(first)) == []
        assert await sealed.findings(of=Range(None, first)) == []
    await sealed.connection.execute("UPDATE decisions SET reason = 'x' WHERE seq = 4")
    ranges = {Range(1, 2): [], Range(4, 4): [4], Range(None, last): [4], Range(last): []}
    for of, seqs in ranges.items():
        assert [finding.seq for finding in await sealed.findings(of=of)] == seqs, of
    with pytest.raises(UsageError, match=f"the ledger ends with decision {last}"):
        await sealed.findings(of=Range(last + 1))


async def test_one_altered_row_is_one_finding(sealed: SealedLog) -> None:
    statements: Sequence[tuple[str, dict[str, Any]]] = [
        ("UPDATE decisions SET reason = 'x' WHERE seq = 4", {"table": "decisions", "seq": 4}),
        ("UPDATE changes SET delta = delta + 1 WHERE decision_seq = 3", {"table": "changes", "seq": 3}),
        ("UPDATE batches SET last_seq = last_seq + 1 WHERE batch_no = 3", {"table": "batches", "batch_no": 3}),
        ("UPDATE batches SET log_peaks = log_peaks || 'x' WHERE batch_no = 3", {"table": "batches", "batch_no": 3}),
        ("UPDATE batches SET salt = 'another one 1234' WHERE batch_no = 3", {"table": "batches", "batch_no": 3}),
    ]
    for statement, expected in statements:
        await sealed.connection.execute(statement)
        (finding,) = await sealed.findings()
        assert {name: getattr(finding, name) for name in expected} == expected, statement
        await sealed.put_back()
