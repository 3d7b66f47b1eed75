"""The values that pages show and the API returns: collected in one snapshot, from the queries of the commands."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from worker.console.addresses import is_id, page_of, page_of_topic
from worker.console.ledger import ReadOnlyLedger
from worker.console.timeline import Step, of_job, of_proposal
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.proof.explained_again import decide_again
from worker.queries.answers import asking_of
from worker.queries.explain import open_spend
from worker.queries.explained import Awaited, DecidedAgain, OpenSpend
from worker.queries.history import ChangeRecord, Expected, coming
from worker.queries.lookups import (
    ChargeRecord,
    RefusedRecord,
    changes_before,
    count_of_lots,
    last_charges,
    last_refusals,
    roles_of,
    sums_by_kind,
)
from worker.queries.memberships import MembershipRecord, MembershipStatus
from worker.queries.questions import Answered, Grounds, answered
from worker.queries.replies import last_proposals
from worker.queries.wallets import wallet_of
from worker.replies.answers import answer_about
from worker.replies.known import Asked, Known, Member
from worker.replies.months import OfKind
from worker.replies.recorded import DecisionRecord, LotHeld
from worker.replies.reply import Reply
from worker.replies.several import outcomes
from worker.replies.topics import Asking

MOST_DECISIONS: Final = 100
"""The last decisions that a page or a response has; a job may have thousands."""
MOST_PROPOSALS: Final = 500
MOST_AGAIN: Final = 20
MOST_LOTS: Final = 40
"""Lots that a page or a response has, those that expire first."""
MOST_OPEN: Final = 50
MOST_LAST: Final = 20
"""The last proposals of a freelancer that a page or a response has, with what became of each."""
MOST_CHARTED: Final = 120
"""The last changes that the chart of a balance has."""
MOST_IN_A_FILE: Final = 50_000
"""Changes in one file of a history."""
_SQL: Final = load("asking.sql")


class ProposalLine(msgspec.Struct, frozen=True):
    """A proposal, and what became of its Connects: `spent` = `back` + `kept` + `open`."""

    proposal_id: str
    freelancer_id: str
    job_id: str
    spent_at: datetime
    spent: int
    back: int
    kept: int
    open: int
    state: str
    reason: str


class FreelancerView(msgspec.Struct, frozen=True):
    """A freelancer's wallet: in words, and what it holds and waits for. `kinds` add up to `balance`.

    `lots` are those that expire first, `lots_left_out` counts later ones. `open` are the last proposals that may
    still bring something back; `open_left_out` counts earlier ones. `refused` are the last that brought nothing,
    among the last 2,000 decisions about the freelancer. `proposals` are the last that cost something, newest first,
    with what became of each; there may be more.
    """

    reply: Reply
    freelancer_id: str
    balance: int
    version: int
    overdrawn: bool
    membership: MembershipRecord | None
    lots: list[LotHeld]
    upcoming: list[Expected]
    lots_left_out: int
    open: list[OpenSpend]
    open_left_out: int
    kinds: list[OfKind]
    charges: list[ChargeRecord]
    refused: list[RefusedRecord]
    proposals: list[ProposalLine]
    more_proposals: bool


class ChangesView(msgspec.Struct, frozen=True):
    """A page of a wallet's changes, newest first; `next` is the cursor of the page after it, None at the end."""

    freelancer_id: str
    changes: Sequence[ChangeRecord]
    next: str | None


class AnswerView(msgspec.Struct, frozen=True):
    """The reply about a proposal, a job or an event, and what is behind it.

    `decisions` are the last ones in ledger order, `left_out` counts earlier ones; `proposals` those that it is about.
    `freelancer_id` is the one person that it is about; None: there are several, or none. `again` has the last decisions
    as this release takes them, where that was asked for.
    """

    reply: Reply
    id: str
    freelancer_id: str | None
    proposals: list[ProposalLine]
    timeline: list[Step]
    decisions: list[DecisionRecord]
    left_out: int
    open: list[OpenSpend]
    awaited: list[Awaited]
    again: list[DecidedAgain] | None = None


class TopicView(msgspec.Struct, frozen=True):
    """A standing answer; with a freelancer's own values where one is named."""

    reply: Reply
    topic: str
    freelancer_id: str | None


class Match(msgspec.Struct, frozen=True):
    """Something that a search found: an id in a role, or a topic; and where its page is."""

    kind: str
    id: str
    page: str


async def freelancer_view(connection: Connection, key: str, grounds: Grounds) -> FreelancerView | None:
    """A freelancer; None if no event ever named them."""
    found = await wallet_of(connection, key, grounds.policies)
    wallet = await connection.fetchrow(_SQL["wallet"], key)
    if found is None or wallet is None:
        return None
    member, undecided = found.member, found.undecided
    last = await last_proposals(connection, key, MOST_LAST)
    policy = grounds.policies.in_force(member.read_until or grounds.due_by)
    lines = _lines(Known(asked="freelancer", key=key, policy=policy, decisions=last.decisions, applied=last.applied))
    return FreelancerView(
        found.reply,
        key,
        member.balance,
        wallet["version"],
        member.balance < 0,
        _membership(member),
        list(member.lots[:MOST_LOTS]),
        coming(member.ahead, member.lots[:MOST_LOTS]),
        max(0, await count_of_lots(connection, key) - MOST_LOTS),
        [open_spend(row) for row in undecided[: -MOST_OPEN - 1 : -1]],
        max(0, len(undecided) - MOST_OPEN),
        await sums_by_kind(connection, key),
        await last_charges(connection, key),
        await last_refusals(connection, key),
        lines[::-1],
        last.earlier,
    )


async def answer_view(
    connection: Connection, role: Asked, key: str, grounds: Grounds, *, again: bool = False
) -> AnswerView:
    """A proposal, a job or an event; its reply says `unknown` where nothing is on record.

    With `again` its last decisions are also taken again by this release.
    """
    whole = await answered(connection, role, key, grounds)
    decisions = whole.known.decisions if role == "event" else whole.found.decisions
    return AnswerView(
        whole.reply,
        key,
        None if whole.known.member is None else whole.known.member.freelancer_id,
        _lines(whole.known),
        _timeline(role, whole),
        list(decisions[-MOST_DECISIONS:]),
        max(0, len(decisions) - MOST_DECISIONS),
        list(whole.found.open or ())[:MOST_PROPOSALS],
        list(whole.found.awaited or ()),
        await decide_again(connection, decisions[-MOST_AGAIN:]) if again else None,
    )


async def topic_view(connection: Connection, topic: str, freelancer: str, grounds: Grounds) -> TopicView | None:
    """A standing answer with somebody's own values; None if no event ever named them."""
    asking = await asking_of(connection, freelancer, grounds.policies, topic)
    return None if asking is None else TopicView(answer_about(topic, asking), topic, freelancer)


def general_topic(topic: str, grounds: Grounds, now: datetime) -> TopicView:
    """A standing answer without anybody's values."""
    return TopicView(answer_about(topic, Asking(grounds.policies.in_force(now))), topic, None)


class Page(NamedTuple):
    """Changes, newest first, and the version before which the next page begins; None: there is no more."""

    changes: Sequence[ChangeRecord]
    before: int | None


async def page_of_changes(connection: Connection, key: str, before: int | None, kind: str | None, most: int) -> Page:
    """The last `most` changes of a wallet before a version, under one rule or all."""
    found = await changes_before(connection, key, before, kind, most + 1)
    return Page(found[:most], found[most - 1].version if len(found) > most else None)


def topics_found(topics: Sequence[str]) -> list[Match]:
    """Topics that may be meant, with the page of each."""
    return [Match("question", topic, page_of_topic(topic)) for topic in topics]


async def matches(ledger: ReadOnlyLedger, words: str) -> list[Match]:
    """As what these words are known, if they can be an id at all."""
    if not is_id(words):
        return []
    async with ledger.snapshot() as connection:
        return await found_by(connection, words)


async def found_by(connection: Connection, key: str) -> list[Match]:
    """As what an id is known, with the page of each."""
    return [Match(role, key, page_of(role, key)) for role in await roles_of(connection, key)]


def _membership(member: Member) -> MembershipRecord | None:
    if member.membership is None:
        return None
    return MembershipStatus(member.membership, member.charge, list(member.ahead)).told


def _lines(known: Known) -> list[ProposalLine]:
    return [
        ProposalLine(
            applied.proposal_id,
            applied.freelancer_id,
            applied.job_id,
            applied.spent_at,
            applied.spent,
            outcome.back,
            outcome.kept,
            outcome.open,
            outcome.state,
            outcome.reason,
        )
        for applied, outcome in outcomes(known)[:MOST_PROPOSALS]
    ]


def _timeline(role: Asked, whole: Answered) -> list[Step]:
    if role == "job" or (role == "event" and len(whole.known.applied) > 1):
        return of_job(whole.known)
    return of_proposal(whole.known)


async def is_freelancer(connection: Connection, key: str) -> bool:
    """Whether any event has named a freelancer of that id."""
    return await connection.fetchrow(_SQL["wallet"], key) is not None
