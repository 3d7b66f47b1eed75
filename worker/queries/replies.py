"""The facts that a reply is composed of (worker/replies)."""

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from worker.domain.model import Charge
from worker.domain.policy import PolicyBook
from worker.domain.rule_catalogue import REASONS
from worker.ledger.connections import Connection
from worker.ledger.membership_rows import read_charge
from worker.ledger.sql import load
from worker.ledger.tables import ChargeRow
from worker.queries.applied import proposals, sent_by
from worker.queries.explain import about_proposals, decisions_of, explain_job, explain_proposal
from worker.queries.explained import Explanation
from worker.queries.history import open_lots
from worker.queries.memberships import standing
from worker.replies.known import Applied, Asked, Known, Member
from worker.replies.recorded import DecisionRecord

_SQL: Final = load("asking.sql")
_OF_A_MEMBERSHIP: Final = frozenset(
    rule
    for rule in REASONS
    if rule.startswith(("membership.", "grant.monthly", "grant.upgrade")) and rule != "membership.earnings"
)
_OF_A_PERSON: Final = (_OF_A_MEMBERSHIP, frozenset({"grant.interview"}))
"""Rules whose replies depend on what was decided before or after under one of them; those read together."""
_seq_of: Final = attrgetter("seq")
_MOST_LOTS: Final = 100
"""Lots that a reply looks at, those that expire first, and all of their last day: replies add up a day, never all."""
_MOST_OF_A_PERSON: Final = 1_000
"""Decisions of a membership, the last ones: of twenty years, or of all interviews of one."""


_OF_JOBS: Final = frozenset({"job-closed", "hire-made"})


async def known_about(
    connection: Connection,
    asked: Asked,
    key: str,
    found: Explanation,
    policies: PolicyBook,
    grace_seconds: float,
    *,
    topic: str | None = None,
    sent: list[Applied] | None = None,
) -> Known:
    """All that a reply may say, of one instant; `topic` narrows an event's id to one input topic.

    `sent` are the proposals of a freelancer, where the question is about one: they were read for what was `found`.
    """
    batch = await connection.fetchrow(_SQL["last_batch"])
    read_until = None if batch is None else batch["business_time"]
    decisions = found.decisions
    if asked == "event" and not decisions:
        decisions = [one for one in await _of_its_own_id(connection, key) if topic in {None, one.topic}]
    if sent is None:
        applied = await proposals(connection, await _proposals_of(connection, asked, key, decisions))
    else:
        applied = sent
    decisions = await _with_all_about(connection, asked, decisions, applied)
    whose = _whose(asked, key, decisions, applied)
    member = None if whose is None else await member_of(connection, whose, policies)
    of_the_person: list[DecisionRecord] = []
    if asked == "freelancer":
        of_the_person = decisions
    elif whose is not None:
        about = [rules for rules in _OF_A_PERSON if any(one.rule in rules for one in decisions)]
        read = [await under_rules(connection, whose, rules, _MOST_OF_A_PERSON) for rules in about]
        of_the_person = sorted({one.seq: one for some in read for one in some}.values(), key=_seq_of)
    policy = policies.versions[-1] if read_until is None else policies.in_force(read_until)
    return Known(
        asked=asked,
        key=key,
        policy=policy,
        decisions=decisions,
        applied=applied,
        member=member,
        grace_seconds=grace_seconds,
        read_until=read_until,
        elsewhere=() if decisions else await _elsewhere(connection, asked, key),
        unread=_what_is_late(found),
        of_the_person=of_the_person,
    )


async def member_of(connection: Connection, freelancer_id: str, policies: PolicyBook) -> Member | None:
    """A freelancer's wallet and membership; None, if no event ever named them."""
    wallet = await connection.fetchrow(_SQL["wallet"], freelancer_id)
    if wallet is None:
        return None
    stands = await standing(connection, freelancer_id, policies)
    batch = await connection.fetchrow(_SQL["last_batch"])
    return Member(
        freelancer_id,
        wallet["balance"],
        await open_lots(connection, freelancer_id, _MOST_LOTS),
        None if stands is None else stands.membership,
        None if stands is None else stands.charge,
        [] if stands is None else stands.ahead,
        await _last_charge(connection, freelancer_id),
        None if batch is None else batch["business_time"],
    )


async def under_rules(
    connection: Connection, freelancer_id: str, rules: Collection[str], most: int
) -> list[DecisionRecord]:
    """The last `most` decisions about a freelancer under these rules, in ledger order."""
    rows = await connection.fetch(_SQL["seqs_under_rules"], freelancer_id, sorted(rules), most)
    return await decisions_of(connection, {row[0] for row in rows})


class LastProposals(NamedTuple):
    """The last proposals of somebody, in ledger order, and the decisions about them; `earlier`: there are more."""

    applied: list[Applied]
    decisions: list[DecisionRecord]
    earlier: bool


async def last_proposals(connection: Connection, freelancer_id: str, most: int) -> LastProposals:
    """The last proposals of a freelancer that cost something, with what was decided about them."""
    rows = await connection.fetch(_SQL["proposals_of_freelancer"], freelancer_id, most)
    if not rows:
        return LastProposals([], [], earlier=False)
    last = [row[0] for row in rows]
    decisions = await decisions_about(connection, freelancer_id, last)
    return LastProposals(await sent_by(connection, freelancer_id, last), decisions, earlier=len(rows) == most)


async def decisions_about(
    connection: Connection, freelancer_id: str, proposal_ids: Sequence[str]
) -> list[DecisionRecord]:
    """What was decided about proposals of a freelancer: another may have named the same proposal."""
    whose = {None, freelancer_id}
    about = await about_proposals(connection, proposal_ids)
    return [one for one in about if one.topic == "hire-made" or one.subject.get("freelancer_id") in whose]


async def _proposals_of(
    connection: Connection, asked: Asked, key: str, decisions: Sequence[DecisionRecord]
) -> Iterable[str]:
    """The proposals that a question is about, if it is not about a freelancer."""
    if asked == "proposal":
        return [key]
    jobs = (
        {key}
        if asked == "job"
        else {one.subject["job_id"] for one in decisions if one.topic in _OF_JOBS and "job_id" in one.subject}
    )
    if jobs:
        return [row[0] for job in sorted(jobs) for row in await connection.fetch(_SQL["proposals_of_job"], job)]
    named = {one.subject["proposal_id"] for one in decisions if "proposal_id" in one.subject}
    for one in decisions:
        if one.topic == "interview-won" and {"job_id", "freelancer_id"} <= one.subject.keys():
            rows = await connection.fetch(_SQL["proposals_of_job"], one.subject["job_id"])
            mine = await proposals(connection, [row[0] for row in rows])
            named |= {applied.proposal_id for applied in mine if applied.freelancer_id == one.subject["freelancer_id"]}
    return sorted(named)


async def _with_all_about(
    connection: Connection, asked: Asked, decisions: list[DecisionRecord], applied: Sequence[Applied]
) -> list[DecisionRecord]:
    """The decisions, with all about the job or the proposal that an event is about."""
    if asked != "event" or not applied:
        return decisions
    known = {one.seq: one for one in decisions}
    jobs = {one.job_id for one in applied} if any(one.topic in _OF_JOBS for one in decisions) else set[str]()
    for job_id in sorted(jobs):
        known |= {one.seq: one for one in (await explain_job(connection, job_id)).decisions}
    for one in applied if not jobs else ():
        known |= {other.seq: other for other in (await explain_proposal(connection, one.proposal_id)).decisions}
    return [known[seq] for seq in sorted(known)]


def _whose(asked: Asked, key: str, decisions: Sequence[DecisionRecord], applied: Sequence[Applied]) -> str | None:
    """The one freelancer that a question is about; None if there are several, or none."""
    if asked == "freelancer":
        return key
    named = {one.freelancer_id for one in applied} or {
        one.subject["freelancer_id"] for one in decisions if "freelancer_id" in one.subject
    }
    return named.pop() if len(named) == 1 else None


async def _of_its_own_id(connection: Connection, key: str) -> list[DecisionRecord]:
    """Decisions about a purchase, an adjustment or a charge of that id: people mix the ids up."""
    whose = key.rsplit(":", 2)[0]
    rows = await connection.fetch(_SQL["seqs_of_their_own_id"], key, whose)
    return await decisions_of(connection, {row[0] for row in rows})


async def _last_charge(connection: Connection, freelancer_id: str) -> Charge | None:
    row = await connection.fetchrow(_SQL["last_charge"], freelancer_id)
    return None if row is None else read_charge(ChargeRow._make(row))


def _what_is_late(found: Explanation) -> list[str]:
    """What is due and not done yet, and what it waits for, in the words of `connects explain --details`."""
    overdue = [one.explanation for one in found.open or () if "is due and waits" in one.explanation]
    return [*overdue, *(one.explanation for one in found.awaited or () if one.reason == "cycle-start-due")]


async def _elsewhere(connection: Connection, asked: Asked, key: str) -> list[Asked]:
    """In which other roles an id is known."""
    row = await connection.fetchrow(_SQL["known_as"], key)
    kinds: tuple[Asked, ...] = ("proposal", "job", "freelancer")
    return [kind for kind in kinds if kind != asked and row is not None and row[kind]]
