"""Pages about somebody with a long history, in a ledger that is far larger: what their statements read.

A page that is quick in a small ledger may read all of a large one. No time is measured here: no statement may read more
than a few rows for each change of the person, and an answer takes no more rows for a longer history.
"""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any, Final

import asyncpg
import pytest
import pytest_asyncio

from tests.golden.reply_stories import TODAY, Event
from tests.kit.deciding import as_read, deciding
from tests.kit.policies import policies
from tests.kit.rows_read import rows_read
from tests.kit.stacks import SharedStack, copy_template
from worker.console import views
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.queries import answers
from worker.queries.questions import Grounds
from worker.replies.known import Asked
from worker.replies.standing import TOPICS

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAMES: Final = {text: name for name, text in load("asking.sql").items()}
LONG, SHORT, OTHERS = 400, 40, 6_000
"""Changes of two people, about; and how many others sent a proposal."""
GROUNDS: Final = Grounds(policies(), 30, TODAY)
MOST_A_CHANGE: Final = 8
"""Rows that a statement may read for each change of a person: the change, its decision, its proposal, its job's end."""
A_FEW_MORE: Final = 10
A_FEW: Final = 300
"""Rows that are read whoever is asked about, and those of tables that are too small for an index to be used."""


def history(who: str, changes: int) -> Iterator[Event]:
    """Of ten changes three proposals, of which one comes back and one expires, a purchase, and five from support."""
    yield ("09-01", "freelancer-registered", {"freelancer_id": who})
    yield ("11-27 08:00", "membership-plan-chosen", {"event_id": f"plus-{who}", "freelancer_id": who, "plan": "plus"})
    paid = {"charge_id": f"{who}:plus-{who}:1", "outcome": "paid", "source": "payment-method"}
    yield ("11-27 09:00", "membership-charge-settled", {"event_id": f"paid-{who}", "freelancer_id": who, **paid})
    for number in range(changes // 10):
        at = f"{9 + number % 2:02}-{2 + number % 25:02} {number % 24:02}"
        for kind in range(3):
            named = {"proposal_id": f"p-{who}-{number}-{kind}", "job_id": f"j-{who}-{number}-{kind}"}
            sent = {"freelancer_id": who, "connects": 6, "boost_connects": 2 * kind, "origin": "proposal"}
            yield (f"{at}:00", "proposal-submitted", {**named, **sent})
        for kind, closure in enumerate(("closed-by-client", "expired")):
            job = {"job_id": f"j-{who}-{number}-{kind}", "client_id": "c", "closure": closure}
            yield (f"{at}:20", "job-closed", job)
        bought = {"purchase_id": f"b-{who}-{number}", "connects": 30}
        yield (f"{at}:00", "connects-purchased", {"freelancer_id": who, **bought})
        for kind in range(5):
            added = {"adjustment_id": f"a-{who}-{number}-{kind}", "connects": 1, "actor": "ana", "note": "sorry"}
            yield (f"{at}:00", "connects-adjusted", {"freelancer_id": who, **added})


def others() -> Iterator[Event]:
    for number in range(OTHERS):
        at = f"{9 + number % 2:02}-{2 + number % 25:02} {number % 24:02}"
        named = {"freelancer_id": f"o-{number}", "proposal_id": f"p-o-{number}", "job_id": f"j-o-{number}"}
        yield (f"{at}:00", "proposal-submitted", {**named, "connects": 6, "origin": "proposal"})
        job = {"job_id": f"j-o-{number}", "client_id": "c", "closure": "expired"}
        yield (f"{at}:30", "job-closed", job)


def rows(events: Iterator[Event]) -> Iterator[dict[str, Any]]:
    for number, (when, topic, fields) in enumerate(sorted(events, key=lambda event: event[0])):
        at = f"2026-{when.partition(' ')[0]}T{when.partition(' ')[2] or '00:00'}:00+00:00"
        body = {"event_id": f"e-{number}", "occurred_at": at, **fields}
        place = {"topic": topic, "partition": 0, "offset": number}
        yield {**place, "payload": json.dumps(body).encode(), "business_time": datetime.fromisoformat(at)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ledger(shared_stack: SharedStack) -> AsyncIterator["Watched"]:
    """A ledger with both people among all others, as it is when PostgreSQL knows its size."""
    url = await copy_template(shared_stack, "long")
    async with deciding(url, policies()) as decides:
        decides.add_policies()
        events = [*history("long", LONG), *history("short", SHORT), *others()]
        await decides.decide(as_read(rows(iter(events))))
        await decides.until(TODAY)
    connection = await asyncpg.connect(url)
    await connection.execute("ANALYZE")
    yield Watched(connection)
    await connection.close()


class Watched:
    """A connection that keeps every statement with its arguments, and how many rows it gave."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.asked: list[tuple[str, tuple[Any, ...], int]] = []

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:  # noqa: ANN401
        found = await self._connection.fetch(statement, *arguments)
        self.asked.append((statement, arguments, len(found)))
        return found

    async def fetchrow(self, statement: str, *arguments: Any) -> asyncpg.Record | None:  # noqa: ANN401
        return next(iter(await self.fetch(statement, *arguments)), None)

    async def fetchval(self, statement: str, *arguments: Any) -> Any:  # noqa: ANN401
        found = await self.fetchrow(statement, *arguments)
        return None if found is None else found[0]

    async def read_by(self, statement: str, arguments: tuple[Any, ...]) -> int:
        """How many rows of tables and indexes a statement reads, those that it then leaves out included."""
        return await rows_read(self._connection, statement, *arguments)

    def given(self) -> int:
        """How many rows all statements gave since the last time, apart from the lots that the wallet holds."""
        given = sum(count for statement, _, count in self.asked if NAMES[statement] != "open_lots")
        self.asked.clear()
        return given


async def given_about(ledger: Any, who: str) -> dict[str, int]:  # noqa: ANN401 - it does what a connection does here
    """How many rows each answer about a person takes."""
    given = {}
    for topic in TOPICS:
        assert await views.topic_view(ledger, topic, who, GROUNDS) is not None
        given[topic] = ledger.given()
    for event in ("paid", "plus"):
        await views.answer_view(ledger, "event", f"{event}-{who}", GROUNDS)
        given[event] = ledger.given()
    return given


async def test_no_statement_of_a_page_reads_more_than_the_persons_own(ledger: Watched) -> None:
    seen: Any = ledger
    seen.asked.clear()
    view = await views.freelancer_view(seen, "long", GROUNDS)
    assert view is not None
    assert view.version >= LONG
    assert len(view.open) + view.open_left_out == LONG // 10
    for before, kind in ((None, None), (view.version // 2, None), (None, "grant.registration")):
        assert (await views.page_of_changes(seen, "long", before, kind, 50)).changes
    ids: dict[str, Asked] = {"p-long-1-0": "proposal", "j-long-1-1": "job", "paid-long": "event", "plus-long": "event"}
    for key, role in ids.items():
        assert (await views.answer_view(seen, role, key, GROUNDS)).reply.verdict != "unknown"
    for topic in TOPICS:
        assert await views.topic_view(seen, topic, "long", GROUNDS) is not None
    asked, most = list(seen.asked), MOST_A_CHANGE * LONG + A_FEW
    assert most < OTHERS
    read = {(NAMES[text], repr(with_)): await ledger.read_by(text, with_) for text, with_, _ in asked}
    assert {"open_spends", "sums_of_wallet", "seqs_under_rules", "seqs_of_proposals"} <= {name for name, _ in read}
    assert {name: count for name, count in read.items() if count > most} == {}


async def test_an_answer_takes_no_more_rows_for_a_longer_history(
    ledger: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MOST_PROPOSALS", 5)
    monkeypatch.setattr(answers, "MOST_DECISIONS", 5)
    ledger.given()
    long, short = await given_about(ledger, "long"), await given_about(ledger, "short")
    assert {topic: (given, short[topic]) for topic, given in long.items() if given > short[topic] + A_FEW_MORE} == {}
