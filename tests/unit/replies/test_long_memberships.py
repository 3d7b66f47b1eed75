"""Replies about one thing of a person who has very many of another: neither hides what the other depends on."""

from typing import Any

import pytest

from tests.golden.reply_stories import decide_events, registers
from tests.golden.ticket_stories import NOW
from tests.kit.memory_connection import connection_to
from tests.kit.policies import policies
from worker.ledger.memory_store import MemoryStore
from worker.queries import replies
from worker.queries.questions import Grounds, answered

BOOK = policies()


def interview(number: int) -> tuple[str, str, dict[str, Any]]:
    client = {"client_id": "c", "client_hires": 0, "client_spent_cents": 0}
    won = {"freelancer_id": "new", "job_id": f"j-{number}", "origin": "proposal"}
    return "11-20", "interview-won", {**won, **client}


async def test_interviews_do_not_hide_what_became_of_a_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "_MOST_OF_A_PERSON", 3)
    store = MemoryStore()
    chosen = ("11-10", "membership-plan-chosen", {"event_id": "plus", "freelancer_id": "new", "plan": "plus"})
    charge = {"freelancer_id": "new", "charge_id": "new:plus:1", "source": "payment-method", "outcome": "paid"}
    paid = ("11-11", "membership-charge-settled", charge)
    interviews = [interview(number) for number in range(5)]
    await decide_events(store, [registers("11-03", "new"), chosen, paid, *interviews], NOW)
    found = await answered(connection_to(store), "event", "plus", Grounds(BOOK, 30, NOW))
    assert found.reply.verdict == "yes", found.reply
