"""The replies of `connects history`: about a wallet now, what is coming up, and a month of it."""

from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from worker.domain.policy import PolicyBook
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.queries.applied import proposals_of_freelancer
from worker.queries.explain import open_spends_of
from worker.queries.replies import decisions_about, member_of
from worker.replies.known import Known, Member
from worker.replies.months import Month, OfKind, kind_of, month_after
from worker.replies.reply import Draft, Reply, composed
from worker.replies.several import outcomes, sums
from worker.replies.topics import Asking, standing_answers
from worker.replies.wallets import about_wallet, what_is_coming

_SQL: Final = load("asking.sql")


class Wallet(NamedTuple):
    """What is held, rows of the open spends that may still come back, and the reply about both."""

    reply: Reply
    member: Member
    undecided: list[asyncpg.Record]


async def wallet_reply(connection: Connection, freelancer_id: str, policies: PolicyBook) -> Reply | None:
    """How many Connects, when the next come, which expire first, what is undecided; None if nobody named them."""
    wallet = await wallet_of(connection, freelancer_id, policies)
    return None if wallet is None else wallet.reply


async def wallet_of(connection: Connection, freelancer_id: str, policies: PolicyBook) -> Wallet | None:
    """The same, with what it is composed of."""
    member = await member_of(connection, freelancer_id, policies)
    if member is None:
        return None
    rows = await open_spends_of(connection, freelancer_id)
    still = [row for row in rows if row["withdrawn_at"] is None and row["hired_at"] is None]
    jobs = {row["job_id"] for row in still}
    draft = about_wallet(member, sum(row["connects"] for row in still), len(jobs))
    return Wallet(_replied(draft, member, policies), member, still)


async def upcoming_reply(connection: Connection, freelancer_id: str, policies: PolicyBook) -> Reply | None:
    """What comes next and what expires next; None if nobody named them."""
    member = await member_of(connection, freelancer_id, policies)
    return None if member is None else _replied(what_is_coming(member), member, policies)


def _replied(draft: Draft, member: Member, policies: PolicyBook) -> Reply:
    policy = policies.versions[-1] if member.read_until is None else policies.in_force(member.read_until)
    return composed(draft, standing_answers(Asking(policy, member)))


async def month_of(connection: Connection, freelancer_id: str, first: datetime, policies: PolicyBook) -> Month | None:
    """The month that begins then, by when changes took effect; None if nobody named the freelancer."""
    wallet = await connection.fetchrow(_SQL["wallet"], freelancer_id)
    if wallet is None:
        return None
    rows = await connection.fetch(_SQL["sums_of_month"], freelancer_id, first, month_after(first))
    outside = {name: sum(row["connects"] for row in rows if row["kind"] == name) for name in ("before", "later")}
    kinds = [
        OfKind(kind_of(row["kind"], came_in=row["connects"] > 0), row["kind"], row["connects"], row["changes"])
        for row in rows
        if row["kind"] not in outside
    ]
    closing = outside["before"] + sum(one.connects for one in kinds)
    came = await _what_became(connection, freelancer_id, first, policies)
    return Month(
        freelancer_id,
        f"{first:%Y-%m}",
        outside["before"],
        kinds,
        closing,
        outside["later"],
        wallet["balance"],
        **came,
    )


async def _what_became(
    connection: Connection, freelancer_id: str, first: datetime, policies: PolicyBook
) -> dict[str, int]:
    """How many proposals of a month cost something, and what became of that by now."""
    every = await proposals_of_freelancer(connection, freelancer_id)
    sent = [one for one in every if first <= one.spent_at < month_after(first)]
    decisions = await decisions_about(connection, freelancer_id, [one.proposal_id for one in sent]) if sent else []
    policy = policies.versions[-1]
    known = Known(asked="freelancer", key=freelancer_id, policy=policy, decisions=decisions, applied=sent)
    return sums(outcomes(known))
