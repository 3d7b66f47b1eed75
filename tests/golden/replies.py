"""The recorded replies, as text that people review: `python -m tests.golden.replies` records them as they are now."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from tests.golden.deciding import decide_corpus, the_policies
from tests.golden.made_by_hand import CASES, known_of
from tests.golden.reply_stories import GRACE_SECONDS, QUESTIONS, told
from tests.golden.ticket_stories import TICKETS, decide_tickets
from tests.kit.memory_connection import connection_to
from tests.kit.policies import policies
from worker.domain.policy import PolicyBook
from worker.ledger.connections import Connection
from worker.ledger.memory_store import MemoryStore
from worker.queries.answers import asking_of
from worker.queries.explain import decisions_of
from worker.queries.questions import Grounds, answered
from worker.queries.wallets import month_of, upcoming_reply, wallet_reply
from worker.replies.answers import answer_about
from worker.replies.compose import of_decision, reply_to, with_standing
from worker.replies.known import Asked, Known
from worker.replies.months import about_month
from worker.replies.recorded import DecisionRecord
from worker.replies.reply import Reply
from worker.replies.standing import TOPICS

FOLDER: Final = Path(__file__).parent / "replies"
STORIES, REASONS, TICKETS_TOLD = FOLDER / "stories.txt", FOLDER / "reasons.txt", FOLDER / "tickets.txt"


class Recorded(NamedTuple):
    """A reply under its title, and all that was known."""

    title: str
    reply: Reply
    known: Known


async def of_stories() -> list[Recorded]:
    """The replies to the questions about the stories."""
    return await to_questions(await told())


async def to_questions(connection: Connection) -> list[Recorded]:
    """The replies to the questions about the stories, in a ledger that has them."""
    recorded = []
    for title, about, key in QUESTIONS:
        asked = "freelancer" if about in OF_A_WALLET else about
        known = await _known(connection, asked, key, policies(), GRACE_SECONDS)
        if about in OF_A_WALLET:
            reply = await _about_a_wallet(connection, about, key)
            recorded.append(Recorded(f"{title}\n$ connects history {key}{OF_A_WALLET[about]}", reply, known))
        else:
            recorded.append(Recorded(f"{title}\n$ connects explain {_option(about)}{key}", reply_to(known), known))
    return recorded


async def of_tickets() -> list[Recorded]:
    """The replies to the tickets."""
    store = MemoryStore()
    await decide_tickets(store)
    return await to_tickets(connection_to(store))


async def to_tickets(connection: Connection) -> list[Recorded]:
    """The replies to the tickets, in a ledger that has what is behind them."""
    recorded = []
    for words, who, about, key in TICKETS:
        if about in TOPICS:
            known = await _known(connection, "freelancer", who, policies(), GRACE_SECONDS)
            asking = await asking_of(connection, who, policies(), about)
            assert asking is not None
            asked, reply = f"answer {about} --freelancer {who}", answer_about(about, asking)
        else:
            known = await _known(connection, about, key or who, policies(), GRACE_SECONDS)
            asked, reply = f"explain {_option(about)}{key or who}", reply_to(known)
        recorded.append(Recorded(f"{words}\n$ connects {asked}", reply, known))
    return recorded


OF_A_WALLET: Final = {"history": "", "upcoming": " --upcoming", "month": " --month 2026-11"}
NOVEMBER: Final = datetime(2026, 11, 1, tzinfo=UTC)


async def _about_a_wallet(connection: Connection, about: str, key: str) -> Reply:
    if about == "month":
        month = await month_of(connection, key, NOVEMBER, policies())
        assert month is not None
        assert month.opening + sum(kind.connects for kind in month.kinds) == month.closing
        assert month.closing + month.later == month.balance
        return about_month(month)
    ask = wallet_reply if about == "history" else upcoming_reply
    reply = await ask(connection, key, policies())
    assert reply is not None
    return reply


async def of_reasons() -> list[Recorded]:
    """One reply for each rule and reason that the corpus has, as if only that decision had been asked about."""
    store, book = MemoryStore(), the_policies()
    await decide_corpus(store)
    connection = connection_to(store)
    seen: set[tuple[str | None, str, str]] = set()
    recorded = []
    async for one in _all_decisions(connection, store):
        if (named := (one.rule, one.reason, one.outcome)) in seen:
            continue
        seen.add(named)
        known = await _asked_by(connection, one, book)
        reply = with_standing(of_decision(one, known), known)
        recorded.append(Recorded(f"{one.rule or '(no rule)'} {one.outcome}/{one.reason}", reply, known))
    return sorted([*recorded, *of_cases()], key=lambda one: one.title)


def of_cases() -> list[Recorded]:
    """The replies to decisions that neither the corpus nor a story has."""
    recorded = []
    for number, case in enumerate(CASES, 1):
        known = known_of(case)
        draft = of_decision(known.decisions[0], known)
        title = f"{case[0] or '(no rule)'} {case[1]}/{case[2]} (made by hand, {number})"
        recorded.append(Recorded(title, with_standing(draft, known), known))
    return recorded


async def _all_decisions(connection: Connection, store: MemoryStore) -> AsyncIterator[DecisionRecord]:
    for one in await decisions_of(connection, {row.seq for row in store.tables.decisions}):
        yield one


async def _asked_by(connection: Connection, one: DecisionRecord, book: PolicyBook) -> Known:
    """What is known where a decision is asked about: a settlement by its proposal, else by the event or the clock."""
    if one.kind == "settlement":
        return await _known(connection, "proposal", one.subject["proposal_id"], book, GRACE_SECONDS)
    known = await _known(connection, "event", one.event_id or f"decision {one.seq}", book, GRACE_SECONDS)
    return known if one in known.decisions else replace(known, decisions=[one])


async def _known(connection: Connection, about: str, key: str, book: PolicyBook, grace: int) -> Known:
    asked: Asked = about  # type: ignore[assignment] # one of the four
    return (await answered(connection, asked, key, Grounds(book, grace, book.versions[0].effective_from))).known


def _option(about: str) -> str:
    return "" if about == "event" else f"--{about} "


def as_text(recorded: list[Recorded]) -> str:
    """Replies as they are written down."""
    return "\n".join(_one(one) for one in recorded)


def _one(recorded: Recorded) -> str:
    reply = recorded.reply
    pasted = reply.reply or reply.headline
    ahead = ", ".join(f"{one.what} {one.connects:+d}" + (f" on {one.on}" if one.on else "") for one in reply.next)
    lines = [
        f"== {recorded.title}",
        f"[{reply.verdict}]",
        pasted,
        *([] if reply.numbers == {} else [f"  numbers: {', '.join(f'{k} {v}' for k, v in reply.numbers.items())}"]),
        *([] if not ahead else [f"  next: {ahead}"]),
        *(f"  {one.topic}: {one.text}" for one in reply.if_they_object),
        *(f"  agent: {one}" for one in reply.agent_only),
    ]
    return "\n".join(lines) + "\n"


async def _record() -> None:
    FOLDER.mkdir(exist_ok=True)
    STORIES.write_text(as_text(await of_stories()), encoding="utf-8")
    REASONS.write_text(as_text(await of_reasons()), encoding="utf-8")
    TICKETS_TOLD.write_text(as_text(await of_tickets()), encoding="utf-8")
    sys.stdout.write(f"{STORIES}, {REASONS} and {TICKETS_TOLD} are recorded\n")


if __name__ == "__main__":
    asyncio.run(_record())
