"""A question about an id from its asking to its reply, as `connects explain` and the console ask it."""

from datetime import datetime
from typing import Literal, NamedTuple

from worker.domain.policy import PolicyBook
from worker.garbage import seldom_collected
from worker.ledger.connections import Connection
from worker.queries.explain import (
    WaitsFor,
    explain_event,
    explain_freelancer,
    explain_job,
    explain_proposal,
    nobody_says,
)
from worker.queries.explained import Explanation
from worker.queries.replies import known_about
from worker.replies.compose import reply_to
from worker.replies.known import Asked, Known
from worker.replies.people import unknown_then
from worker.replies.reply import Reply


class Answered(NamedTuple):
    """The decisions about an id, all that a reply may say of it, and the reply."""

    found: Explanation
    known: Known
    reply: Reply


class Grounds(NamedTuple):
    """The needs of a reply apart from the ledger.

    `due_by`: a cycle that starts until then should be booked. `waits_for` says what due work has to wait for.
    """

    policies: PolicyBook
    grace_seconds: float
    due_by: datetime
    waits_for: WaitsFor = nobody_says


async def answered(
    connection: Connection, asked: Asked, key: str, grounds: Grounds, *, topic: str | None = None
) -> Answered:
    """All about an id, and the reply; `topic` narrows an event's id to one input topic."""
    with seldom_collected():  # there may be thousands of decisions, and nothing of them is garbage yet
        policies, grace_seconds, due_by, waits_for = grounds
        sent = None
        if asked == "freelancer":
            found, sent = await explain_freelancer(connection, key, policies, due_by, waits_for)
        else:
            found = await _explained(connection, asked, key, grounds, topic)
        known = await known_about(connection, asked, key, found, policies, grace_seconds, topic=topic, sent=sent)
        return Answered(found, known, reply_to(known))


async def _explained(
    connection: Connection, asked: Literal["event", "job", "proposal"], key: str, grounds: Grounds, topic: str | None
) -> Explanation:
    match asked:
        case "job":
            return await explain_job(connection, key, grounds.waits_for)
        case "proposal":
            return await explain_proposal(connection, key, grounds.waits_for)
        case "event":
            return await explain_event(connection, key, topic, policies=grounds.policies)


async def about_nobody(
    connection: Connection, freelancer_id: str, policies: PolicyBook, known_at: datetime | None = None
) -> Reply:
    """The reply about somebody whom no event has named (had named at `known_at`); perhaps it is the id of a job."""
    known = await known_about(connection, "freelancer", freelancer_id, Explanation([]), policies, 0, sent=[])
    if known_at is not None and known.member is not None:
        return unknown_then(freelancer_id, known_at)
    return reply_to(known)
