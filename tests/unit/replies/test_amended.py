"""Replies about a proposal whose boost a wrong release gave back twice: to paste, and what only the agent reads."""

from datetime import UTC, datetime

from tests.kit.amending import amend
from tests.kit.correcting import boost_came_back_twice
from tests.kit.deciding import GRACE
from tests.kit.memory_connection import connection_to
from tests.kit.policies import policies
from tests.kit.replaying import Came, leading
from worker.ledger.memory_store import MemoryStore
from worker.queries.questions import Grounds, answered
from worker.replies.known import Asked
from worker.replies.reply import Reply

BOOK = policies()


async def replies(*asked: tuple[Asked, str]) -> list[Reply]:
    """What is told once the second boost was taken back."""
    store = MemoryStore()
    async with leading(store, BOOK) as decides:
        await boost_came_back_twice(decides, Came(decides))
        planned = await amend(decides, BOOK)
        assert planned.summary.taken == 4
    grounds = Grounds(BOOK, GRACE.total_seconds(), datetime(2026, 3, 5, tzinfo=UTC))
    return [(await answered(connection_to(store), role, key, grounds)).reply for role, key in asked]


async def test_the_reply_counts_what_was_due_and_says_what_was_taken_back() -> None:
    [reply] = await replies(("proposal", "p-1"))
    assert "you were outbid first, and then" in reply.reply
    assert "had brought 10 Connects, and 6 were due. 4 Connects were taken back on " in reply.reply


async def test_who_ordered_a_correction_and_why_is_for_the_agent_alone() -> None:
    asked: tuple[tuple[Asked, str], ...] = (("proposal", "p-1"), ("job", "j-1"), ("freelancer", "f-1"))
    for reply in await replies(*asked):
        assert "ordered" not in reply.reply, reply
        assert any("4 Connects taken back on" in line and "ordered" in line for line in reply.agent_only), reply
