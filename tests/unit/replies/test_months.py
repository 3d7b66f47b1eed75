"""A month of a wallet adds up, whatever it holds."""

import asyncio
from datetime import UTC, datetime

import pytest

from tests.golden.reply_stories import told
from tests.kit.memory_connection import MemoryConnection
from tests.kit.policies import policies
from worker.ledger.connections import Connection
from worker.queries.wallets import month_of
from worker.replies.months import Month, about_month, kind_of

BOOK = policies()


@pytest.fixture(scope="module")
def stories() -> Connection:
    return asyncio.run(told())


@pytest.mark.parametrize("freelancer", ["pavel", "tess", "xena", "yusuf", "suki", "ulla", "wanda", "kim"])
async def test_all_months_of_a_wallet_add_up_to_its_balance(stories: Connection, freelancer: str) -> None:
    closing = 0
    for number in range(1, 13):
        month = await month_of(stories, freelancer, datetime(2026, number, 1, tzinfo=UTC), BOOK)
        assert month is not None
        assert month.opening == closing
        closing = month.opening + sum(kind.connects for kind in month.kinds)
        assert (month.closing, month.closing + month.later) == (closing, month.balance)
        assert all(kind.connects and kind.changes for kind in month.kinds)
    assert closing == month.balance > 0


async def test_the_proposals_of_a_month_are_added_up_with_what_came_back_of_them(stories: Connection) -> None:
    month = await month_of(stories, "pavel", datetime(2026, 10, 1, tzinfo=UTC), BOOK)
    assert month is not None
    assert (month.proposals, month.spent, month.back, month.kept, month.open) == (3, 23, 5, 18, 0)
    reply = about_month(month)
    assert "5 of your 23 Connects on 3 proposals of October 2026 came back so far; 18 did not." in reply.reply
    assert reply.numbers.items() >= {"spent": 23, "back": 5, "kept": 18, "open": 0}.items()


async def test_nobody_has_no_months(stories: Connection) -> None:
    assert await month_of(stories, "nobody", datetime(2026, 1, 1, tzinfo=UTC), BOOK) is None
    assert isinstance(stories, MemoryConnection)


def test_a_month_in_which_nothing_changed_says_so() -> None:
    reply = about_month(Month("f-1", "2026-12", 12, [], 12, 5, 17))
    assert (
        reply.reply == "Nothing changed in December 2026: you had 12 Connects all the time.\nYou have 17 Connects now."
    )


def test_a_rule_that_was_added_has_its_own_name() -> None:
    assert kind_of("grant.rating", came_in=True) == "grant.rating"
    assert kind_of("adjust", came_in=True) != kind_of("adjust", came_in=False)
