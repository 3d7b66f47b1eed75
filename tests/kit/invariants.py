"""The invariants that hold after every fault: docs and tests call them I1 to I12."""

import tomllib
from collections import defaultdict
from typing import Any

import msgspec

from schemas.outputs import MembershipChargeRequested, MembershipUpdated, WalletUpdated
from tests.kit.log import differing, on_postgresql
from tests.kit.reading import everything
from tests.kit.stored import check_what_is_stored
from tests.kit.world import PARTITIONS, World
from tests.model.ledger import check_ledger
from worker.demo.natural_keys import booked_twice
from worker.kafka.output.partitioner import partition_of

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
    await check_memberships_published(world)
    await check_log(world)
    await check_natural_keys(world)
    await check_stored(world, asked_for_nothing_through)
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


async def check_natural_keys(world: World) -> None:
    """I1: what happens once by the card of its rule was booked once, whatever the event ids were."""
    assert [row[0] for row in await world.rows(booked_twice())] == []


async def check_stored(world: World, after: int) -> None:
    """What deciding again needs is there, of all decisions after that seq."""
    decisions = await world.rows("SELECT * FROM decisions ORDER BY seq")
    check_what_is_stored(map(dict, decisions), map(dict, await world.rows("SELECT * FROM memberships")), after)


async def check_positions(world: World) -> None:
    """I2: every record below a position has exactly one first decision, and there are no others.

    A batch that was rejected as a whole has one for all of its records.
    """
    rows = await world.rows(
        "SELECT p.topic, p.partition, p.next_offset, count(d.seq) AS decided, count(DISTINCT d.offset) AS offsets,"
        " max(d.offset) AS last,"
        " coalesce(sum((d.facts ->> 'records')::int - 1) FILTER (WHERE d.reason = 'batch-too-large'), 0) AS more"
        " FROM positions p LEFT JOIN decisions d ON d.kind = 'first' AND d.topic = p.topic"
        " AND d.partition = p.partition AND d.incarnation = p.incarnation GROUP BY 1, 2, 3"
    )
    for row in rows:
        assert row["decided"] == row["offsets"], dict(row)
        assert (row["last"] if row["last"] is not None else -1) < row["next_offset"], dict(row)
        assert row["decided"] + row["more"] == row["next_offset"], (
            f"not one decision for each record below the position: {dict(row)}"
        )


async def check_published(world: World) -> None:
    """I9, I10: wallet-updated is the table of changes, one to one and in order; the reader saw exactly that."""
    published = (await everything(world.kafka, f"{world.prefix}wallet-updated", PARTITIONS)).records
    assert places(world.reader.records) == places(published), "the reader that ran all along saw something else"
    changes = await world.rows(f"SELECT {_CHANGES} FROM changes")  # noqa: S608
    left = {(row["freelancer_id"], row["version"]): row for row in changes}
    seen: defaultdict[str, int] = defaultdict(int)
    for record in sorted(published, key=lambda record: (record.partition, record.offset)):
        update = WalletUpdated.model_validate_json(record.value)
        seen[update.freelancer_id] += 1
        assert update.version == seen[update.freelancer_id], f"version {update.version} is not the next: {update}"
        assert record.key == update.freelancer_id.encode()
        assert record.partition == partition_of(record.key, PARTITIONS)
        change = left.pop((update.freelancer_id, update.version))
        for name in ("delta", "debt_delta", "balance_after", "rule", "reason", "policy_version", "explanation"):
            assert getattr(update, name) == change[name], (update, change)
        assert update.occurred_at == change["occurred_at"]
        assert update.recorded_at == change["recorded_at"]
    assert not left, f"{len(left)} changes were not published: {list(left)[:10]}"


async def check_memberships_published(world: World) -> None:
    """I9 for memberships: each published its versions 1 to n once, in order; each requested charge, once."""
    left: defaultdict[str, list[MembershipUpdated]] = defaultdict(list)
    for record in (await everything(world.kafka, f"{world.prefix}membership-updated", PARTITIONS)).records:
        update = MembershipUpdated.model_validate_json(record.value)
        left[update.freelancer_id].append(update)
    rows = await world.rows("SELECT freelancer_id, version, plan, cycle_start, next_renewal FROM memberships")
    for row in rows:
        updates = left.pop(row["freelancer_id"], [])
        assert [update.version for update in updates] == list(range(1, row["version"] + 1)), (dict(row), updates)
        if updates and row["cycle_start"] is not None:  # else the registration that began it was voided
            last = updates[-1]
            assert (last.plan, last.cycle_start, last.next_renewal_on) == tuple(row)[2:], (dict(row), last)
    assert not left, f"published of memberships that do not exist: {list(left)[:10]}"
    requested = (await everything(world.kafka, f"{world.prefix}membership-charge-requested", PARTITIONS)).records
    requests = [MembershipChargeRequested.model_validate_json(record.value) for record in requested]
    asked = [(charge.freelancer_id, charge.charge_id) for charge in requests]
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
    assert len({charge.event_id for charge in requests}) == len(requests), "two charges were requested by one event id"


async def check_by_verify(world: World) -> dict[str, Any]:
    """`connects verify`, whole and against the topics; what the second compared."""
    connects = world.asking(CONNECTS_SETTLEMENT_GRACE=str(int(world.grace_seconds)))
    for command in ("verify --json", "verify --against topics --json"):
        answer = await connects(command)
        assert (answer.code, answer.json["findings"]) == (0, []), answer.out
    compared: dict[str, Any] = answer.json["against"]
    assert compared["not_compared"] == []
    assert (compared["messages"], compared["in_the_outbox"]) == (len(await world.rows("SELECT FROM changes")), 0)
    return compared


def places(records: list[Any]) -> list[tuple[int, int]]:
    return sorted((record.partition, record.offset) for record in records)


async def check_log(world: World) -> None:
    """I12: each batch's hashes follow from those before and the rows of the batch; no number is left out."""
    rows = await on_postgresql(world.database_url)
    assert [batch.batch_no for batch in rows.batches] == list(range(1, len(rows.batches) + 1))
    assert [row.seq for row in rows.decisions] == list(range(1, len(rows.decisions) + 1))
    assert list(differing(rows)) == [], "the log breaks at these batches"


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
