"""`connects explain`: every answer that was given about an event, a job, a proposal or a freelancer, and why.

What has no answer yet is told too: Connects on a job that is open, a charge not answered, a cycle start not booked.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import asyncpg
import msgspec

from schemas.catalogue import INPUT_TOPICS
from worker.domain.decisions import Facts, Subject
from worker.domain.explanations import explain, job_not_closed
from worker.domain.model import midnight
from worker.domain.phrases import day
from worker.domain.policy import PolicyBook
from worker.engine.memory import seen_key
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.operations.history import named
from worker.operations.memberships import Standing, standing

_SQL: Final = load("asking.sql")
_MOST_STEPS: Final = 100
_ASKED: Final = frozenset({"charge-requested", "charge-retried"})
"""Reasons of decisions that asked for a charge."""


class LotMoved(msgspec.Struct, frozen=True):
    """What a change did to a lot, net."""

    lot_id: str
    delta: int
    expires_at: datetime


class ChangeMade(msgspec.Struct, frozen=True):
    """A change that a decision made."""

    freelancer_id: str
    version: int
    occurred_at: datetime
    delta: int
    debt_delta: int
    balance_after: int
    rule: str
    reason: str
    explanation: str
    lots: list[LotMoved]


class DecisionTold(msgspec.Struct, frozen=True):
    """A recorded answer, in words, and what it rests on. `follows` is the seq of the decision it follows."""

    seq: int
    kind: str
    follows: int | None
    event_id: str | None
    topic: str | None
    partition: int | None
    offset: int | None
    occurred_at: datetime | None
    recorded_at: datetime
    business_time: datetime | None
    subject: dict[str, str]
    outcome: str
    reason: str
    rule: str | None
    policy_version: str | None
    facts: dict[str, object]
    explanation: str
    late_by_seconds: float | None
    changes: list[ChangeMade]


class OpenSpend(msgspec.Struct, frozen=True):
    """Connects spent on a job about which nothing is decided yet."""

    subject: dict[str, str]
    spent_at: datetime
    connects: int
    explanation: str
    reason: str = "job-not-closed"


class Awaited(msgspec.Struct, frozen=True):
    """What a membership waits for: `charge-unanswered`, or `cycle-start-due`: it is time, and it is not booked yet."""

    subject: dict[str, str]
    reason: str
    since: datetime
    explanation: str


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Decisions in ledger order; `open` and `awaited` where they apply."""

    decisions: list[DecisionTold]
    open: list[OpenSpend] | None = None
    awaited: list[Awaited] | None = None


async def explain_event(
    connection: Connection, event_id: str, topic: str | None = None, *, policies: PolicyBook | None = None
) -> Explanation:
    """All that was decided on an event id, of all topics or of one, with follow-ups, and a closure's settlements.

    With policies: a charge that it requested is awaited until it is answered. Instants of the clock have ids too:
    `expiry:<lot id>`, `cycle:<freelancer id>:<day>` and `renewal:<freelancer id>:<day>`.
    """
    keys = [seen_key(name, event_id) for name in ([topic] if topic else INPUT_TOPICS)]
    seqs = await _seqs(connection, "seqs_of_events", keys)
    seqs |= await _seqs(connection, "seqs_of_repeats", event_id, topic)
    if topic is None:
        seqs |= await _seqs(connection, "seqs_of_clock_and_commands", event_id)
    seqs |= await _seqs(connection, "seqs_of_settlements", list(seqs))
    decisions = await _decisions(connection, await _with_follow_ups(connection, seqs))
    if policies is None:
        return Explanation(decisions)
    asked = [decision for decision in decisions if decision.reason in _ASKED]
    whose = [decision.subject["freelancer_id"] for decision in asked]
    awaited: list[Awaited] = []
    for row in await connection.fetch(_SQL["members_who_wait_for"], whose, [one.facts["charge_id"] for one in asked]):
        stands = await standing(connection, row["freelancer_id"], policies)
        awaited += [] if stands is None else _charge_awaited(stands)
    return Explanation(decisions, awaited=awaited or None)


async def explain_job(connection: Connection, job_id: str) -> Explanation:
    """All that was decided about a job, and the Connects on it that still wait for its closing."""
    return await _about(connection, "job", job_id)


async def explain_freelancer(
    connection: Connection, freelancer_id: str, policies: PolicyBook, due_by: datetime
) -> Explanation:
    """All that was decided about a freelancer, their Connects on open jobs, and what their membership waits for.

    `due_by`: a cycle that starts until then should be booked.
    """
    found = await _about(connection, "freelancer", freelancer_id)
    stands = await standing(connection, freelancer_id, policies)
    awaited: list[Awaited] = []
    if stands is not None:
        batch = await connection.fetchrow(_SQL["last_batch"])
        business_time = None if batch is None else batch["business_time"]
        awaited = [*_charge_awaited(stands), *_cycle_awaited(stands, due_by, business_time)]
    return Explanation(found.decisions, found.open, awaited)


async def explain_proposal(connection: Connection, proposal_id: str) -> Explanation:
    """All that was decided about a proposal, and its Connects if they still wait for the job's closing."""
    seqs = await _seqs(connection, "seqs_of_proposal", proposal_id)
    return Explanation(
        await _decisions(connection, await _with_follow_ups(connection, seqs)), await _open(connection, [proposal_id])
    )


async def _about(connection: Connection, what: str, key: str) -> Explanation:
    seqs = await _seqs(connection, f"seqs_of_{what}", key)
    proposals = [row[0] for row in await connection.fetch(_SQL[f"proposals_of_{what}"], key)]
    return Explanation(
        await _decisions(connection, await _with_follow_ups(connection, seqs)), await _open(connection, proposals)
    )


async def _seqs(connection: Connection, statement: str, *arguments: object) -> set[int]:
    return {row[0] for row in await connection.fetch(_SQL[statement], *arguments)}


async def _with_follow_ups(connection: Connection, seqs: set[int]) -> set[int]:
    """The decisions and whatever followed them, step by step: what was released and failed again has several."""
    newest = seqs
    for _ in range(_MOST_STEPS):
        newest = await _seqs(connection, "seqs_following", list(newest)) - seqs
        if not newest:
            break
        seqs |= newest
    return seqs


async def _decisions(connection: Connection, seqs: Iterable[int]) -> list[DecisionTold]:
    wanted = sorted(seqs)
    changes = await _changes(connection, wanted)
    return [_told(row, changes.get(row["seq"], [])) for row in await connection.fetch(_SQL["decisions"], wanted)]


async def _changes(connection: Connection, seqs: Sequence[int]) -> dict[int, list[ChangeMade]]:
    lots: dict[tuple[int, int], list[LotMoved]] = {}
    for row in await connection.fetch(_SQL["lots_moved"], seqs):
        moved = LotMoved(row["lot_id"], row["delta"], row["expires_at"])
        lots.setdefault((row["decision_seq"], row["ordinal"]), []).append(moved)
    changes: dict[int, list[ChangeMade]] = {}
    for row in await connection.fetch(_SQL["changes_of_decisions"], seqs):
        change = ChangeMade(
            row["freelancer_id"],
            row["version"],
            row["occurred_at"],
            row["delta"],
            row["debt_delta"],
            row["balance_after"],
            row["rule"],
            row["reason"],
            row["explanation"],
            lots.get((row["decision_seq"], row["ordinal"]), []),
        )
        changes.setdefault(row["decision_seq"], []).append(change)
    return changes


def _told(row: asyncpg.Record, changes: list[ChangeMade]) -> DecisionTold:
    facts = msgspec.json.decode(row["facts"], type=dict[str, object])
    return DecisionTold(
        row["seq"],
        row["kind"],
        row["follows"],
        row["event_id"],
        row["topic"],
        row["partition"],
        row["offset"],
        row["occurred_at"],
        row["recorded_at"],
        row["business_time"],
        named(row, "job_id", "proposal_id", "freelancer_id"),
        row["outcome"],
        row["reason"],
        row["rule"],
        row["policy_version"],
        facts,
        _words(row, facts, changes),
        row["late_by_seconds"],
        changes,
    )


def _words(row: asyncpg.Record, facts: dict[str, object], changes: list[ChangeMade]) -> str:
    """What was published, where the decision made that change; else the decision in today's words."""
    for change in changes:
        if row["outcome"] == "applied" and change.reason == row["reason"]:
            return change.explanation
    return in_words(row, facts)


def in_words(row: asyncpg.Record, facts: dict[str, object]) -> str:
    """A decision's row in today's words."""
    subject = Subject(row["freelancer_id"], row["job_id"], row["proposal_id"])
    known: Facts = {name: fact for name, fact in facts.items() if fact is None or isinstance(fact, str | int)}
    return explain(row["reason"], row["outcome"], subject, known, row["rule"])


async def _open(connection: Connection, proposals: Sequence[str]) -> list[OpenSpend]:
    return [
        OpenSpend(
            named(row, "job_id", "proposal_id", "freelancer_id"),
            row["occurred_at"],
            row["connects"],
            job_not_closed(
                row["occurred_at"],
                row["connects"],
                row["job_id"],
                boost=row["boost"],
                withdrawn_at=row["withdrawn_at"],
                closing_at=row["closing_at"],
                hired_at=row["hired_at"],
            ),
        )
        for row in await connection.fetch(_SQL["open_spends"], proposals)
    ]


def _charge_awaited(stands: Standing) -> list[Awaited]:
    charge = stands.charge_unanswered
    if charge is None:
        return []
    subject = {"freelancer_id": charge.freelancer_id, "charge_id": charge.charge_id}
    return [Awaited(subject, "charge-unanswered", charge.requested_at, stands.about_the_charge)]


def _cycle_awaited(stands: Standing, due_by: datetime, business_time: datetime | None) -> list[Awaited]:
    due = stands.membership.next_renewal
    if due is None or midnight(due) > due_by:
        return []
    reached = "nowhere" if business_time is None else f"{business_time:%H:%M:%S} UTC on {day(business_time)}"
    words = (
        f"The cycle that begins on {day(midnight(due))} is not booked yet, nor what it brings: business time has come "
        f"to {reached}. `connects status` tells what holds it back."
    )
    return [Awaited({"freelancer_id": stands.membership.freelancer_id}, "cycle-start-due", midnight(due), words)]
