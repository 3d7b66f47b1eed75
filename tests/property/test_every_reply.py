"""Random histories: every reply to every question about them keeps the rules of replies."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.kit.decided import decide_history
from tests.kit.histories import MEMBERSHIP_MIX, MIX, History
from tests.kit.memory_connection import connection_to
from tests.kit.policies import policies
from tests.kit.reply_rules import broken_rules
from tests.property.variety import POLICIES, SEEDS
from worker.domain.policy import PolicyBook
from worker.ledger.connections import Connection
from worker.ledger.memory_store import MemoryStore
from worker.ledger.memory_tables import Tables
from worker.queries.answers import asking_of
from worker.queries.questions import Grounds, answered
from worker.queries.wallets import month_of, upcoming_reply, wallet_reply
from worker.replies.answers import answer_about
from worker.replies.known import Asked
from worker.replies.months import about_month
from worker.replies.reply import Reply
from worker.replies.standing import TOPICS

START = datetime(2026, 1, 5, tzinfo=UTC)
MONTHS = [datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3)]
"""Those of the histories."""


@pytest.mark.parametrize(
    ("mix", "policy"), [(MIX, "as it is"), (MIX, "claw-back"), (MEMBERSHIP_MIX, "all the other way")]
)
@pytest.mark.parametrize("seed", SEEDS)
async def test_every_reply_keeps_the_rules(seed: int, policy: str, mix: dict[str, float]) -> None:
    events = History(
        *(seed, 12, 14, 160, START, timedelta(days=75)), mix=mix, late=0.1, late_by=timedelta(days=1), poison=0.02
    )
    store, book = MemoryStore(), policies(POLICIES[policy])
    await decide_history(store, list(events), policy=POLICIES[policy])
    people = {row.freelancer_id for row in store.tables.decisions if row.freelancer_id is not None}
    count, broken = 0, list[str]()
    async for title, reply, whose in every_reply(connection_to(store), store.tables, book):
        count += 1
        rules = broken_rules(reply, others=people - {whose}, of_several=whose is None)
        broken += [f"{title}: {rule}\n{reply.reply}" for rule in rules]
    assert not broken, "\n\n".join(broken[:10])
    assert count > 400


async def every_reply(
    connection: Connection, tables: Tables, book: PolicyBook
) -> AsyncIterator[tuple[str, Reply, str | None]]:
    """The replies to all questions, each with the freelancer that it is about; None: there are several."""
    decisions = tables.decisions
    for whose in sorted({row.freelancer_id for row in decisions if row.freelancer_id is not None}):
        async for title, reply in of_a_person(connection, whose, book):
            yield f"{title} {whose}", reply, whose
    asked: list[tuple[Asked, str]] = [
        *(("proposal", row.proposal_id) for row in tables.spends),
        *(("job", job) for job in sorted({row.job_id for row in decisions if row.job_id is not None})),
        *(("event", event) for event in sorted({row.event_id for row in decisions if row.event_id is not None})),
        *(("proposal", nothing) for nothing in ("f-1", "j-1", "nothing")),
    ]
    named = {row.event_id: row.freelancer_id for row in decisions if row.topic != "hire-made"}
    for kind, key in asked:
        found = await answered(connection, kind, key, Grounds(book, 30, START))
        about = {one.freelancer_id for one in found.known.applied} or {named.get(key) or key}
        yield f"{kind} {key}", found.reply, about.pop() if len(about) == 1 else None


async def of_a_person(connection: Connection, whose: str, book: PolicyBook) -> AsyncIterator[tuple[str, Reply]]:
    yield "explain", (await answered(connection, "freelancer", whose, Grounds(book, 30, START))).reply
    for about in (wallet_reply, upcoming_reply):
        reply = await about(connection, whose, book)
        assert reply is not None
        yield about.__name__, reply
    for first in MONTHS:
        month = await month_of(connection, whose, first, book)
        assert month is not None
        yield f"{first:%B}", about_month(month)
    for topic in TOPICS:
        asking = await asking_of(connection, whose, book, topic)
        assert asking is not None
        yield topic, answer_about(topic, asking)
