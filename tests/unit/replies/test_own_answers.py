"""What a standing answer says of a person first: the last word on what happened to them, corrections included."""

import pytest

from tests.golden.reply_stories import decide_events, registers
from tests.golden.ticket_stories import NOW, on_plus
from tests.kit.memory_connection import connection_to
from tests.kit.policies import policies
from tests.kit.replaying import Came, bought, leading, proposed
from tests.kit.voiding import void
from worker.ledger.memory_store import MemoryStore
from worker.queries.answers import asking_of
from worker.replies.answers import answer_about
from worker.replies.reply import Reply

BOOK = policies()


async def answered(store: MemoryStore, topic: str, who: str = "f-1") -> Reply:
    asking = await asking_of(connection_to(store), who, BOOK)
    assert asking is not None
    return answer_about(topic, asking)


async def test_a_purchase_that_was_voided_is_not_told_as_one_that_came_in() -> None:
    store = MemoryStore()
    async with leading(store, BOOK) as decides:
        await Came(decides)(bought("f-1", "b-1", 10))
        assert (await answered(store, "buying")).headline.startswith("Yes: the 10 Connects you bought came in on ")
        await void(decides, BOOK, "e-b-1")
    reply = await answered(store, "buying")
    assert "bought came in" not in reply.headline
    assert "10" in reply.headline


async def test_what_came_in_below_zero_says_what_it_paid_for() -> None:
    store = MemoryStore()
    async with leading(store, BOOK) as decides:
        came = Came(decides)
        await came(proposed("f-1", "p-1", connects=6))
        await came(bought("f-1", "b-1", 10))
    for topic in ("buying", "overdrawn"):
        assert "6 of them paid for earlier proposals" in (await answered(store, topic)).reply


@pytest.mark.parametrize("topic", ["buying", "interviews", "expiry", "boosts", "suspension", "promo", "overdrawn"])
async def test_what_never_happened_to_somebody_is_not_told(topic: str) -> None:
    store = MemoryStore()
    await decide_events(store, [registers("11-03", "new")], NOW)
    reply = await answered(store, topic, "new")
    assert reply.verdict == "info"
    assert not reply.headline.startswith(("Yes", "No", "Not yet"))


async def test_a_late_start_is_told_before_and_after_its_renewal() -> None:
    store = MemoryStore()
    await decide_events(store, [registers("11-03", "new"), *on_plus("new", "11-29")], NOW)
    reply = await answered(store, "month-end", "new")
    assert reply.headline == (
        "Your cycle of 29 November 2026 is renewed on 1 December 2026, and your day is the 1st from then on."
    )
