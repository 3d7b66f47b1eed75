"""Random histories: every reply to every question about them keeps the rules of replies."""

import random
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.kit import amending, voiding
from tests.kit.decided import decide_history
from tests.kit.deciding import deciding
from tests.kit.histories import MEMBERSHIP_MIX, MIX, History
from tests.kit.memory_connection import connection_to
from tests.kit.policies import policies
from tests.kit.reply_rules import broken_rules
from tests.property.variety import POLICIES, SEEDS
from worker.domain.policy import PolicyBook
from worker.domain.rules.decides import DECIDE
from worker.domain.rules.voids import VOID
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
IN_RECORDED_WORDS = re.compile(r"\nThat was on \d+ \w+ \d+\.$")
"""Of decisions on what was voided: they lack what a reply is composed of."""
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
    await keeps_the_rules(store, book)
    await corrected(store, book, random.Random(seed))
    await keeps_the_rules(store, book)


async def corrected(store: MemoryStore, book: PolicyBook, chance: random.Random) -> None:
    """Void a third of what can be voided, and amend what another policy would have granted otherwise."""
    async with deciding(store, book) as decides:
        decides.add_policies()
        await decides.commit()
        await voiding.void_decisions(decides, book, voiding.some_of(store, chance, 1 / 3))
        await amending.amend(decides, book, policies(registration=33, basic=7, certification=9), name="ef" * 32)
    assert {row.rule for row in store.tables.decisions if row.kind == "correction"} >= {VOID, DECIDE}


async def keeps_the_rules(store: MemoryStore, book: PolicyBook) -> None:
    people = {row.freelancer_id for row in store.tables.decisions if row.freelancer_id is not None}
    sums = sums_of(store.tables)
    count, broken = 0, list[str]()
    async for title, reply, whose in every_reply(connection_to(store), store.tables, book):
        count += 1
        if title in sums:
            told = {name: reply.numbers.get(name, 0) for name in ("spent", "back")}
            assert told == sums[title], f"{title}: {sums[title]}\n{reply.reply or reply.headline}"
        if IN_RECORDED_WORDS.search(reply.reply):
            continue
        rules = broken_rules(reply, others=people - {whose}, of_several=whose is None)
        broken += [f"{title}: {rule}\n{reply.reply}" for rule in rules]
    assert not broken, "\n\n".join(broken[:10])
    assert count > 400


def sums_of(tables: Tables) -> dict[str, dict[str, int]]:
    """What the ledger's lines come to, by the question that asks about them all."""
    sums: dict[str, dict[str, int]] = {}
    for row in tables.spends:
        lines = [(row.base, row.base_returned), (row.boost, row.boost_returned)]
        for title in (f"explain {row.freelancer_id}", f"job {row.job_id}", f"proposal {row.proposal_id}"):
            known = sums.setdefault(title, {"spent": 0, "back": 0})
            known["spent"] += sum(connects for connects, _ in lines)
            known["back"] += sum(connects for connects, is_back in lines if is_back)
    return sums


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
