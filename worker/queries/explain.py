"""`connects explain`: every answer that was given about an event, a job, a proposal or a freelancer, and why.

What has no answer yet is told too: Connects on a job that is open, a charge not answered, a cycle start not booked.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, Final, NamedTuple

import asyncpg

from schemas.catalogue import INPUT_TOPICS
from worker.domain.decisions import Facts, Subject
from worker.domain.model import midnight
from worker.domain.policy import PolicyBook
from worker.domain.rules.spends import SPEND
from worker.ledger.connections import Connection
from worker.ledger.event_key import seen_key
from worker.ledger.rows import facts_in, movements_in
from worker.ledger.sql import load
from worker.queries.applied import sent_by
from worker.queries.explained import Awaited, Explanation, OpenSpend
from worker.queries.history import and_who_added_it, named
from worker.queries.memberships import MembershipStatus, standing
from worker.replies.known import Applied
from worker.replies.recorded import ChangeMade, DecisionRecord, LotMoved
from worker.words.explanations import explain, job_not_closed
from worker.words.phrases import day

_SQL: Final = load("asking.sql")
_MOST_STEPS: Final = 100
_SOON: Final = timedelta(seconds=2)
"""What is due is done within less, unless something holds it back."""

WaitsFor = Callable[[], Awaitable[str | None]]
"""Says in a sentence what due work has to wait for; None: nothing. It asks Kafka, so it is called where work is due."""


async def nobody_says() -> str | None:
    """Say nothing: where Kafka is not asked."""
    return None


_MAY_BE_FOLLOWED: Final = frozenset({"parked", "recorded"})
"""Outcomes of decisions that a later one may follow: what was set aside, and what waited for something else."""

_ASKED: Final = frozenset({"charge-requested", "charge-retried"})
"""Reasons of decisions that asked for a charge."""


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
    decisions = await decisions_of(connection, seqs)
    if policies is None:
        return Explanation(decisions)
    asked = [decision for decision in decisions if decision.reason in _ASKED]
    whose = [decision.subject["freelancer_id"] for decision in asked]
    awaited: list[Awaited] = []
    for row in await connection.fetch(_SQL["members_who_wait_for"], whose, [one.facts["charge_id"] for one in asked]):
        stands = await standing(connection, row["freelancer_id"], policies)
        awaited += [] if stands is None else _charge_awaited(stands)
    return Explanation(decisions, awaited=awaited or None)


async def explain_job(connection: Connection, job_id: str, waits_for: WaitsFor = nobody_says) -> Explanation:
    """All that was decided about a job, and the Connects on it that still wait for its closing."""
    decisions = await decisions_of(connection, await _seqs(connection, "seqs_of_job", job_id))
    on_it = [row[0] for row in await connection.fetch(_SQL["proposals_of_job"], job_id)]
    return Explanation(decisions, await _open(await _open_among(connection, on_it), waits_for))


class OfFreelancer(NamedTuple):
    """What was found about a freelancer, and the proposals that cost something and still are theirs."""

    found: Explanation
    sent: list[Applied]


async def explain_freelancer(
    connection: Connection,
    freelancer_id: str,
    policies: PolicyBook,
    due_by: datetime,
    waits_for: WaitsFor = nobody_says,
) -> OfFreelancer:
    """All that was decided about a freelancer, their Connects on open jobs, and what their membership waits for.

    `due_by`: a cycle that starts until then should be booked.
    """
    decisions = await _decisions_about(connection, freelancer_id)
    sent = await sent_by(connection, freelancer_id, proposals_sent(decisions, freelancer_id))
    undecided = _may_be_undecided(sent, decisions)
    rows = await _open_among(connection, undecided) if undecided else []
    stands = await standing(connection, freelancer_id, policies)
    awaited: list[Awaited] = []
    if stands is not None:
        batch = await connection.fetchrow(_SQL["last_batch"])
        business_time = None if batch is None else batch["business_time"]
        awaited = [*_charge_awaited(stands), *await _cycle_awaited(stands, due_by, business_time, waits_for)]
    return OfFreelancer(Explanation(decisions, await _open(rows, waits_for), awaited), sent)


async def explain_proposal(connection: Connection, proposal_id: str, waits_for: WaitsFor = nobody_says) -> Explanation:
    """All that was decided about a proposal, and its Connects if they still wait for the job's closing."""
    return Explanation(
        await about_proposals(connection, [proposal_id]),
        await _open(await _open_among(connection, [proposal_id]), waits_for),
    )


async def about_proposals(connection: Connection, proposals: Sequence[str]) -> list[DecisionRecord]:
    """All that was decided about these proposals."""
    return await decisions_of(connection, await _seqs(connection, "seqs_of_proposals", proposals))


async def _seqs(connection: Connection, statement: str, *arguments: object) -> set[int]:
    return {row[0] for row in await connection.fetch(_SQL[statement], *arguments)}


async def decisions_of(connection: Connection, seqs: set[int]) -> list[DecisionRecord]:
    """These decisions and whatever followed them, step by step: what was released and failed again has several."""
    return await _with_changes(connection, await _with_followers(connection, seqs))


async def decisions_between(connection: Connection, first: int, last: int) -> list[DecisionRecord]:
    """The decisions of these seqs and those between them, and nothing that follows them."""
    return await _with_changes(connection, await connection.fetch(_SQL["decisions"], _listed(range(first, last + 1))))


async def _decisions_about(connection: Connection, freelancer_id: str) -> list[DecisionRecord]:
    """All about a freelancer, with what followed: their wallet's changes are read at once, there may be thousands."""
    own = await connection.fetch(_SQL["changes_of_freelancer"], freelancer_id)
    seqs = await _seqs(connection, "seqs_naming_freelancer", freelancer_id)
    rows = await _with_followers(connection, seqs.union(row["decision_seq"] for row in own))
    others = {row["seq"] for row in rows if not _changes_their_wallet_alone(row, freelancer_id)}
    changes = [row for row in own if row["decision_seq"] not in others]
    if others:
        changes += await connection.fetch(_SQL["changes_of_decisions"], _listed(others))
    return await _all_told(connection, rows, changes)


def _changes_their_wallet_alone(row: asyncpg.Record, freelancer_id: str) -> bool:
    """Whether a decision changes no wallet but this freelancer's: a claw-back and a correction may change several."""
    return bool(row["freelancer_id"] == freelancer_id) and row["topic"] != "hire-made" and row["kind"] != "correction"


async def _with_followers(connection: Connection, seqs: set[int]) -> list[asyncpg.Record]:
    """The rows of these decisions and of whatever followed them, in ledger order."""
    rows: list[asyncpg.Record] = []
    known, newest = set(seqs), seqs
    for _ in range(_MOST_STEPS):
        if not newest:
            break
        step = await connection.fetch(_SQL["decisions"], _listed(newest))
        rows += step
        followed = [row["seq"] for row in step if row["outcome"] in _MAY_BE_FOLLOWED]
        newest = await _seqs(connection, "seqs_following", followed) - known if followed else set()
        known |= newest
    return sorted(rows, key=_seq)


async def _with_changes(connection: Connection, rows: Sequence[asyncpg.Record]) -> list[DecisionRecord]:
    changes = await connection.fetch(_SQL["changes_of_decisions"], _listed(row["seq"] for row in rows))
    return await _all_told(connection, rows, changes)


async def _all_told(
    connection: Connection, rows: Iterable[asyncpg.Record], changes: Sequence[asyncpg.Record]
) -> list[DecisionRecord]:
    """Decisions with their changes, each with what it moved in each lot, net, as in wallet-updated."""
    moved = [_net(row["movements"]) for row in changes]
    lots = {lot_id: row["freelancer_id"] for row, net in zip(changes, moved, strict=True) for lot_id in net}
    found = await connection.fetch(_SQL["ends_of_lots"], ",".join(lots.values()), ",".join(lots)) if lots else []
    ends = {row["lot_id"]: row["expires_at"] for row in found}
    made: dict[int, list[ChangeMade]] = {}
    for row, net in zip(changes, moved, strict=True):
        fields: list[Any] = [*row.values()]
        fields[-1] = [LotMoved(lot_id, delta, ends[lot_id]) for lot_id, delta in net.items() if lot_id in ends]
        made.setdefault(fields[0], []).append(ChangeMade(*fields[1:]))
    return [_told(row, made.get(row["seq"], [])) for row in rows]


def _net(movements: str) -> dict[str, int]:
    """What the movements of a change come to in each lot."""
    net: dict[str, int] = {}
    for lot_id, _, _, delta in movements_in(movements):
        if lot_id is not None:
            net[lot_id] = net.get(lot_id, 0) + delta
    return net


def _listed(seqs: Iterable[int]) -> str:
    """Seqs as the statements take them."""
    return ",".join(map(str, seqs))


_seq = itemgetter("seq")


def _told(row: asyncpg.Record, changes: list[ChangeMade]) -> DecisionRecord:
    facts = facts_in(row["facts"])
    return DecisionRecord(
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
            return and_who_added_it(change.explanation, row)
    return and_who_added_it(in_words(row, facts), row)


def in_words(row: asyncpg.Record, facts: dict[str, object]) -> str:
    """A decision's row in today's words."""
    subject = Subject(row["freelancer_id"], row["job_id"], row["proposal_id"])
    known: Facts = {name: fact for name, fact in facts.items() if fact is None or isinstance(fact, str | int)}
    return explain(row["reason"], row["outcome"], subject, known, row["rule"])


async def _open(rows: Sequence[asyncpg.Record], waits_for: WaitsFor) -> list[OpenSpend]:
    overdue_by = datetime.now(UTC) - _SOON
    overdue = {row["proposal_id"] for row in rows if row["due_at"] is not None and row["due_at"] <= overdue_by}
    holder = await waits_for() if overdue else None
    return [open_spend(row, holder if row["proposal_id"] in overdue else None) for row in rows]


async def _open_among(connection: Connection, proposals: Sequence[str]) -> list[asyncpg.Record]:
    """Those of these proposals on which Connects wait for the job's end, as rows."""
    return await connection.fetch(_SQL["open_spends"], proposals, None)


def _may_be_undecided(sent: Iterable[Applied], decisions: Iterable[DecisionRecord]) -> list[str]:
    """Those of these proposals whose Connects may wait for the job's end; an undo has settled closings settle anew."""
    is_corrected = any(one.kind == "correction" for one in decisions)
    return [one.proposal_id for one in sent if one.back < one.spent and (is_corrected or not one.is_settled)]


async def open_spends_of(connection: Connection, freelancer_id: str) -> list[asyncpg.Record]:
    """Those of a freelancer, as such rows: in one statement, however many proposals they sent."""
    return await connection.fetch(_SQL["open_spends"], (), freelancer_id)


def proposals_sent(decisions: Iterable[DecisionRecord], freelancer_id: str) -> list[str]:
    """The proposals of a freelancer that cost something, of all decisions about them."""
    return [
        one.subject["proposal_id"]
        for one in decisions
        if one.rule == SPEND and any(change.freelancer_id == freelancer_id for change in one.changes)
    ]


def open_spend(row: asyncpg.Record, waits_for: str | None = None) -> OpenSpend:
    """Such a row in words; `waits_for` is what its closing waits for, if that is overdue."""
    return OpenSpend(
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
            waits_for=waits_for,
        ),
    )


def _charge_awaited(stands: MembershipStatus) -> list[Awaited]:
    charge = stands.charge_unanswered
    if charge is None:
        return []
    subject = {"freelancer_id": charge.freelancer_id, "charge_id": charge.charge_id}
    return [Awaited(subject, "charge-unanswered", charge.requested_at, stands.about_the_charge)]


async def _cycle_awaited(
    stands: MembershipStatus, due_by: datetime, business_time: datetime | None, waits_for: WaitsFor
) -> list[Awaited]:
    due = stands.membership.next_renewal
    if due is None or midnight(due) > due_by:
        return []
    reached = "nowhere" if business_time is None else f"{business_time:%H:%M:%S} UTC on {day(business_time)}"
    holder = await waits_for() or "`connects status` tells what holds it back."
    words = (
        f"The cycle that begins on {day(midnight(due))} is not booked yet, nor what it brings: business time has come "
        f"to {reached}. {holder}"
    )
    return [Awaited({"freelancer_id": stands.membership.freelancer_id}, "cycle-start-due", midnight(due), words)]
