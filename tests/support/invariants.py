"""What must hold after every fault, whatever happened: docs and tests call them I1 to I12."""

import tomllib
from collections import defaultdict
from typing import Any

import msgspec

from schemas.outputs import MembershipChargeRequested, MembershipUpdated, WalletUpdated
from tests.reference.ledger import check_ledger
from tests.support.reading import everything
from tests.support.world import PARTITIONS, World
from worker.ledger.chain import next_head
from worker.stream.partitions import partition_of

_DECISIONS = (
    'seq, batch_no, kind, follows, topic, incarnation, partition, "offset", event_id, occurred_at, freelancer_id,'
    " job_id, proposal_id, outcome, reason, rule, policy_version, facts, late_by_seconds, business_time, recorded_at,"
    " payload"
)
_CHANGES = (
    "freelancer_id, version, decision_seq, ordinal, occurred_at, recorded_at, rule, reason, policy_version, delta,"
    " debt_delta, balance_after, explanation, natural_key, movements"
)


async def check_everything(
    world: World, *, model: bool = True, complete: bool = True, asked_for_nothing_through: int = 0
) -> None:
    """All invariants of a ledger at rest. `model`: also against the reference model (I1, I3 to I6).

    `asked_for_nothing_through`: see the reference model's `check`.
    """
    await check_positions(world)
    await check_published(world)
    await check_memberships_told(world)
    await check_chain(world)
    if model:
        report = await check_ledger(
            world.database_url,
            tomllib.loads(world.policy_file.read_text(encoding="utf-8")),
            grace_seconds=world.grace_seconds,
            complete=complete,
            movements_in_order=False,
            asked_for_nothing_through=asked_for_nothing_through,
        )
        assert report.ok, str(report)


async def check_positions(world: World) -> None:
    """I2: every record below a position has exactly one first decision, and there are no others."""
    rows = await world.rows(
        "SELECT p.topic, p.partition, p.next_offset, count(d.seq) AS decided, count(DISTINCT d.offset) AS offsets,"
        " max(d.offset) AS last FROM positions p LEFT JOIN decisions d ON d.kind = 'first' AND d.topic = p.topic"
        " AND d.partition = p.partition AND d.incarnation = p.incarnation GROUP BY 1, 2, 3"
    )
    for row in rows:
        told = dict(row)
        assert row["decided"] == row["offsets"], told
        assert (row["last"] if row["last"] is not None else -1) < row["next_offset"], told
        assert row["decided"] == row["next_offset"], f"not one decision for each record below the position: {told}"


async def check_published(world: World) -> None:
    """I9, I10: wallet-updated is the table of changes, one to one and in order; the reader saw just that all along."""
    published = (await everything(world.kafka, f"{world.prefix}wallet-updated", PARTITIONS)).records
    assert places(world.reader.records) == places(published), "the reader that ran all along saw something else"
    changes = await world.rows(f"SELECT {_CHANGES} FROM changes")  # noqa: S608
    told = {(row["freelancer_id"], row["version"]): row for row in changes}
    seen: defaultdict[str, int] = defaultdict(int)
    for record in sorted(published, key=lambda record: (record.partition, record.offset)):
        update = WalletUpdated.model_validate_json(record.value)
        seen[update.freelancer_id] += 1
        assert update.version == seen[update.freelancer_id], f"version {update.version} is not the next: {update}"
        assert record.key == update.freelancer_id.encode()
        assert record.partition == partition_of(record.key, PARTITIONS)
        change = told.pop((update.freelancer_id, update.version))
        for name in ("delta", "debt_delta", "balance_after", "rule", "reason", "policy_version", "explanation"):
            assert getattr(update, name) == change[name], (update, change)
        assert update.occurred_at == change["occurred_at"]
        assert update.recorded_at == change["recorded_at"]
    assert not told, f"{len(told)} changes were not published: {list(told)[:10]}"


async def check_memberships_told(world: World) -> None:
    """I9 for memberships: each has told its versions 1 to n once, in order; each charge that was asked for, once."""
    told: defaultdict[str, list[MembershipUpdated]] = defaultdict(list)
    for record in (await everything(world.kafka, f"{world.prefix}membership-updated", PARTITIONS)).records:
        update = MembershipUpdated.model_validate_json(record.value)
        told[update.freelancer_id].append(update)
    rows = await world.rows("SELECT freelancer_id, version, plan, cycle_start, next_renewal FROM memberships")
    for row in rows:
        updates = told.pop(row["freelancer_id"], [])
        assert [update.version for update in updates] == list(range(1, row["version"] + 1)), (dict(row), updates)
        if updates:
            last = updates[-1]
            assert (last.plan, last.cycle_start, last.next_renewal_on) == tuple(row)[2:], (dict(row), last)
    assert not told, f"told of memberships that are not there: {list(told)[:10]}"
    requested = (await everything(world.kafka, f"{world.prefix}membership-charge-requested", PARTITIONS)).records
    told_of = [MembershipChargeRequested.model_validate_json(record.value) for record in requested]
    asked = [(charge.freelancer_id, charge.charge_id) for charge in told_of]
    charges = await world.rows(
        "SELECT c.freelancer_id, c.charge_id FROM charges c JOIN decisions d ON d.seq = c.decision_seq"
        " WHERE d.reason IN ('charge-requested', 'charge-retried')"
    )
    assert sorted(asked) == sorted(map(tuple, charges)), "not each charge was requested once"
    unasked = await world.rows(
        "SELECT c.charge_id, c.amount_cents, c.status FROM charges c JOIN decisions d ON d.seq = c.decision_seq"
        " WHERE d.reason NOT IN ('charge-requested', 'charge-retried')"
    )
    assert all(tuple(row)[1:] == (0, "paid") for row in unasked), f"made without being asked for: {unasked}"
    assert len({charge.event_id for charge in told_of}) == len(told_of), "two charges were requested by one event id"


def places(records: list[Any]) -> list[tuple[int, int]]:
    return sorted((record.partition, record.offset) for record in records)


async def check_chain(world: World) -> None:
    """I12: each batch's chain head follows from the head before and the rows of the batch."""
    batches = await world.rows("SELECT batch_no, last_seq, chain_head FROM batches ORDER BY batch_no")
    decisions = await world.rows(f"SELECT {_DECISIONS} FROM decisions ORDER BY seq")  # noqa: S608
    changes = await world.rows(f"SELECT {_CHANGES} FROM changes ORDER BY decision_seq, ordinal")  # noqa: S608
    places_of = {"decisions": 0, "changes": 0}
    tables = {
        "decisions": (decisions, "seq"),
        "changes": (changes, "decision_seq"),
    }
    assert [batch["batch_no"] for batch in batches] == list(range(1, len(batches) + 1))
    assert [row["seq"] for row in decisions] == list(range(1, len(decisions) + 1))
    head = bytes(32)
    for batch in batches:
        parts = []
        for name, (rows, key) in tables.items():
            start = end = places_of[name]
            while end < len(rows) and rows[end][key] <= batch["last_seq"]:
                end += 1
            places_of[name] = end
            parts.append([tuple(row) for row in rows[start:end]])
        head = next_head(head, *parts)
        assert head == batch["chain_head"], f"the chain breaks at batch {batch['batch_no']}"
    assert all(places_of[name] == len(rows) for name, (rows, _) in tables.items())


async def story(world: World) -> list[tuple[Any, ...]]:
    """All decisions and their changes, but for when and in which batch: the same for the same topics."""
    rows = await world.rows(
        'SELECT seq, kind, follows, topic, incarnation, partition, "offset", event_id, occurred_at, freelancer_id,'
        " job_id, proposal_id, outcome, reason, rule, policy_version, facts::text, late_by_seconds,"
        " CASE WHEN kind = 'clock' OR kind = 'settlement' THEN business_time END AS due_at,"
        " (SELECT array_agg((version, delta, debt_delta, balance_after, explanation)::text ORDER BY ordinal)"
        " FROM changes c WHERE c.decision_seq = seq) AS changes FROM decisions ORDER BY seq"
    )
    return [tuple(row) for row in rows]


def headers_of(record: Any) -> dict[str, str]:  # noqa: ANN401
    return {name: value.decode() for name, value in record.headers}


def body_of(record: Any) -> dict[str, Any]:  # noqa: ANN401
    body: dict[str, Any] = msgspec.json.decode(record.value)
    return body
