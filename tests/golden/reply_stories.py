"""Ledgers that are written as stories, and the questions about them whose replies are recorded.

An event is a line: when, the topic, and its fields. The clock goes on to `TODAY` in the end.
"""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from tests.kit.deciding import Place, as_read, deciding
from tests.kit.memory_connection import connection_to
from tests.kit.policies import policies
from worker.ledger.connections import Connection
from worker.ledger.memory_store import MemoryStore

TODAY: Final = datetime(2026, 11, 28, 12, tzinfo=UTC)
GRACE_SECONDS: Final = 30
Event = tuple[str, str, dict[str, Any]]


class Question(NamedTuple):
    """A question of `connects explain`, under a title."""

    title: str
    about: str
    key: str


def at(when: str) -> datetime:
    """An instant of 2026: `10-06`, or `10-06 12:00`; at nine where no time is given; `2025-10-06` of another year."""
    day, _, time = when.partition(" ")
    year = "" if day.count("-") > 1 else "2026-"
    return datetime.fromisoformat(f"{year}{day}T{time or '09:00'}:00+00:00")


def registers(when: str, who: str) -> Event:
    return (when, "freelancer-registered", {"freelancer_id": who})


def applies(when: str, who: str, number: str, cost: int, boost: int = 0, **more: Any) -> Event:  # noqa: ANN401
    """`number`: of the proposal and the job, or `proposal/job`."""
    proposal, _, job = number.partition("/")
    fields = {
        "proposal_id": f"p-{proposal}",
        "job_id": f"job-{job or proposal}",
        "freelancer_id": who,
        "connects": cost,
    }
    boosted = {"boost_connects": boost} if boost else {}
    return (when, "proposal-submitted", {"origin": "proposal", **fields, **boosted, **more})


def closes(when: str, job: str, closure: str = "closed-by-client") -> Event:
    return (when, "job-closed", {"job_id": f"job-{job}", "client_id": "c", "closure": closure})


def hires(when: str, job: str, who: str = "somebody") -> Event:
    return (when, "hire-made", {"job_id": f"job-{job}", "freelancer_id": who, "contract_id": f"k-{job}-{who}"})


def withdraws(when: str, who: str, number: str) -> Event:
    named = {"proposal_id": f"p-{number}", "job_id": f"job-{number}", "freelancer_id": who}
    return (when, "proposal-withdrawn", named)


def chooses(when: str, who: str, plan: str, event_id: str) -> Event:
    return (when, "membership-plan-chosen", {"event_id": event_id, "freelancer_id": who, "plan": plan})


def pays(when: str, who: str, charge: str, event_id: str, outcome: str = "paid") -> Event:
    said = {"charge_id": f"{who}:{charge}", "outcome": outcome, "source": "payment-method"}
    return (when, "membership-charge-settled", {"event_id": event_id, "freelancer_id": who, **said})


def interview(when: str, who: str, number: int, spent: int = 2_000_000, hired: int = 3) -> Event:
    client = {"client_hires": hired, "client_spent_cents": spent, "client_id": "c", "origin": "proposal"}
    named = {"event_id": f"iv-{who}-{number}", "freelancer_id": who, "job_id": f"job-{who}-{number}"}
    return (when, "interview-won", {**named, **client})


EVENTS: Final[list[Event]] = [
    # 3.1 to 3.3
    registers("09-21", "nils"),
    applies("10-06", "nils", "201", 8, 12),
    closes("10-20", "201"),
    registers("09-01", "omar"),
    applies("09-09", "omar", "202", 9),
    closes("10-12", "202", "expired"),
    registers("10-20", "pia"),
    applies("10-28", "pia", "203", 11),
    # 3.4
    registers("10-09", "pavel"),
    applies("10-20", "pavel", "241/541", 5),
    applies("10-22", "pavel", "242/542", 8),
    applies("10-25", "pavel", "243/543", 10),
    applies("11-02", "pavel", "244/544", 3),
    closes("11-05", "541"),
    closes("11-06", "542", "expired"),
    hires("11-07", "543"),
    closes("11-09", "543"),
    # 3.5
    registers("10-01", "quinn"),
    applies("10-22", "quinn", "205", 7),
    withdraws("10-24", "quinn", "205"),
    closes("10-29", "205", "removed-by-marketplace"),
    # 3.6
    *(registers("10-01", who) for who in ("ana", "bo", "chidi", "dara")),
    *(applies("10-10", who, f"206-{who}/506", 4) for who in ("ana", "bo", "chidi", "dara")),
    hires("10-27", "506", "chidi"),
    closes("10-30", "506"),
    # 3.7
    registers("10-02", "ruth"),
    applies("10-19", "ruth", "207", 12),
    hires("10-26", "207", "ruth"),
    closes("11-03", "207"),
    # 3.8
    *(registers("10-01 10:00", who) for who in ("eli", "femi", "gro")),
    *(applies("10-11", who, f"208-{who}/508", 2) for who in ("eli", "femi", "gro")),
    closes("10-31", "508", "removed-by-marketplace"),
    # 3.9, 3.10
    registers("11-01", "sam"),
    applies("11-10", "sam", "209", 5, 15),
    applies("11-10 10:00", "sam", "210", 6, 14),
    (
        "11-13",
        "boost-outbid",
        {"event_id": "outbid-210", "freelancer_id": "sam", "job_id": "job-210", "proposal_id": "p-210"},
    ),
    # A boost that came back before the rest, and one that did while the rest was kept
    registers("09-05", "tess"),
    applies("09-10", "tess", "211", 6, 20),
    ("09-12", "boost-outbid", {"freelancer_id": "tess", "job_id": "job-211", "proposal_id": "p-211"}),
    closes("09-20", "211"),
    applies("09-22", "tess", "212", 5, 9),
    ("09-24", "boost-outbid", {"freelancer_id": "tess", "job_id": "job-212", "proposal_id": "p-212"}),
    closes("09-30", "212", "expired"),
    # 3.11
    registers("10-05", "ravi"),
    chooses("10-22", "ravi", "plus", "plus-ravi"),
    pays("10-22 10:00", "ravi", "plus-ravi:1", "paid-ravi"),
    pays("11-22 08:00", "ravi", "2026-11-22:1", "paid-ravi-2"),
    # 3.12
    registers("09-10", "suki"),
    chooses("09-24", "suki", "plus", "plus-suki"),
    pays("09-24 10:00", "suki", "plus-suki:1", "paid-suki"),
    ("10-20", "earnings-balance-updated", {"freelancer_id": "suki", "available_cents": 5000, "currency": "USD"}),
    pays("10-24 06:00", "suki", "2026-10-24:1", "failed-suki-1", "failed"),
    pays("10-24 08:00", "suki", "2026-10-24:2", "failed-suki", "failed"),
    # 3.13
    registers("10-02 10:00", "tariq"),
    chooses("10-26", "tariq", "plus", "plus-tariq"),
    pays("10-26 10:00", "tariq", "plus-tariq:1", "paid-tariq"),
    # 3.14
    registers("09-02", "ulla"),
    chooses("09-18", "ulla", "plus", "plus-ulla"),
    pays("09-18 10:00", "ulla", "plus-ulla:1", "paid-ulla"),
    pays("10-18 02:00", "ulla", "2026-10-18:1", "paid-ulla-2"),
    chooses("10-18 15:00", "ulla", "basic", "down-ulla"),
    # 3.15
    registers("10-01 11:00", "vito"),
    chooses("10-02", "vito", "plus", "plus-vito"),
    pays("10-02 10:00", "vito", "plus-vito:1", "paid-vito"),
    pays("11-02 02:00", "vito", "2026-11-02:1", "paid-vito-2"),
    chooses("11-15", "vito", "basic", "down-vito"),
    # 3.16
    registers("08-20", "wanda"),
    chooses("08-31", "wanda", "plus", "plus-wanda"),
    pays("08-31 10:00", "wanda", "plus-wanda:1", "paid-wanda"),
    *(pays(f"{month:02}-01 08:00", "wanda", f"2026-{month:02}-01:1", f"paid-wanda-{month}") for month in (9, 10, 11)),
    # 3.17
    registers("02-03 12:00", "xena"),
    (
        "06-15",
        "connects-purchased",
        {"event_id": "bought-xena", "freelancer_id": "xena", "purchase_id": "b-1", "connects": 120},
    ),
    applies("07-01", "xena", "217", 25),
    closes("07-20", "217", "expired"),
    # 3.18
    registers("09-16", "yusuf"),
    ("10-10", "account-suspended", {"event_id": "susp-yusuf", "freelancer_id": "yusuf", "scope": "account"}),
    ("10-21", "account-reinstated", {"event_id": "back-yusuf", "freelancer_id": "yusuf", "scope": "account"}),
    # 3.19, 3.20
    registers("10-25", "zoe"),
    applies("10-30", "zoe", "519/zoe-1", 4),
    interview("11-01", "zoe", 1, 0, 0),
    registers("10-25 10:00", "abel"),
    *(interview(f"11-0{number + 1} 12:00", "abel", number) for number in range(1, 6)),
    interview("11-07", "abel", 6),
    # 3.21
    registers("11-01 10:00", "hugo"),
    applies("11-08", "hugo", "227", 6),
    hires("11-14", "227"),
    registers("10-20 10:00", "ines"),
    applies("10-30", "ines", "222", 7, 9),
    (
        "10-30 11:00",
        "proposal-submitted",
        {
            "event_id": "again-222",
            "origin": "proposal",
            "proposal_id": "p-222",
            "job_id": "job-222",
            "freelancer_id": "ines",
            "connects": 7,
            "boost_connects": 9,
        },
    ),
    registers("09-08", "gus"),
    registers("11-01 12:00", "edda"),
    (
        "11-06",
        "connects-adjusted",
        {
            "event_id": "adj-edda",
            "freelancer_id": "edda",
            "adjustment_id": "a-1",
            "connects": 15,
            "actor": "agent-lund",
            "note": "sorry for the late reply",
        },
    ),
    # Free of charge
    registers("11-02", "kim"),
    applies("11-03", "kim", "230", 5, origin="invite"),
]
QUESTIONS: Final = [
    Question("3.1 A job closed by the client, a boosted proposal", "proposal", "p-201"),
    Question("3.2 An expired job", "proposal", "p-202"),
    Question("3.3 An open job, a month of silence", "proposal", "p-203"),
    Question("3.4 Four proposals, four outcomes", "freelancer", "pavel"),
    Question("3.5 Withdrawn, then removed by the marketplace", "proposal", "p-205"),
    Question("3.6 A job asked for everybody, somebody was hired", "job", "job-506"),
    Question("3.6 The same, asked for one of them", "proposal", "p-206-bo"),
    Question("3.7 Hired, and the contract was cancelled before it started", "proposal", "p-207"),
    Question("3.8 A job asked for everybody, removed by the marketplace", "job", "job-508"),
    Question("3.9 An open job, a boosted proposal that was not outbid", "proposal", "p-209"),
    Question("3.10 Outbid", "event", "outbid-210"),
    Question("3.10 The same, asked by its proposal", "proposal", "p-210"),
    Question("A boost came back first, the rest later", "proposal", "p-211"),
    Question("A boost came back, the rest did not", "proposal", "p-212"),
    Question("3.11 An upgrade that brought 75", "event", "paid-ravi"),
    Question("3.11 The same, asked by the choice", "event", "plus-ravi"),
    Question("3.12 A renewal that failed twice", "event", "failed-suki"),
    Question("3.13 On Plus, and this month's Connects are missing", "freelancer", "tariq"),
    Question("3.13 The same, asked by the renewal", "event", "renewal:tariq:2026-11-26"),
    Question("3.14 Leaving Plus on the renewal day", "event", "down-ulla"),
    Question("3.15 Moving the billing date", "event", "down-vito"),
    Question("3.16 A Plus cycle that began on the 31st", "freelancer", "wanda"),
    Question("3.17 Which Connects expire when", "freelancer", "gus"),
    Question("3.18 A monthly grant missed during a suspension", "freelancer", "yusuf"),
    Question("3.18 The same, asked by the end of the suspension", "event", "back-yusuf"),
    Question("3.19 An interview with a new client", "event", "iv-zoe-1"),
    Question("3.20 The limit for interviews", "event", "iv-abel-6"),
    Question("3.21 An open job on which somebody has been hired", "proposal", "p-227"),
    Question("3.21 One proposal, two amounts, reported twice", "proposal", "p-222"),
    Question("3.21 The same, asked by the second report", "event", "again-222"),
    Question("3.21 Connects from support", "event", "adj-edda"),
    Question("3.21 The same, asked by the adjustment's own id", "event", "a-1"),
    Question("3.21 An id that is known in another role", "event", "p-201"),
    Question("3.21 An id that nobody has heard of", "proposal", "p-999"),
    Question("Invited", "proposal", "p-230"),
    Question("3.17 What a wallet holds", "history", "xena"),
    Question("3.13 A wallet whose charge is not paid yet", "history", "tariq"),
    Question("Connects in proposals to open jobs", "history", "sam"),
    Question("A wallet in which all expire on one day", "history", "edda"),
    Question("3.16 What is coming up on Plus", "upcoming", "wanda"),
    Question("What is coming up on Basic", "upcoming", "gus"),
    Question("What is coming up while a charge is not paid", "upcoming", "tariq"),
    Question("A month with all kinds of changes", "month", "pavel"),
    Question("The month of a registration", "month", "kim"),
]


def in_order(events: list[Event]) -> Iterator[dict[str, Any]]:
    """The events as the rows of records, by time."""
    offsets: Counter[str] = Counter()
    for number, (when, topic, fields) in enumerate(sorted(events, key=lambda event: at(event[0])), 1):
        body = {"event_id": f"e-{number}", "occurred_at": at(when).isoformat(), **fields}
        place = {"topic": topic, "partition": 0, "offset": offsets[topic]}
        offsets[topic] += 1
        yield {**place, "payload": json.dumps(body).encode(), "business_time": at(when)}


async def told() -> Connection:
    """The ledger of these stories, in memory."""
    store = MemoryStore()
    await decide_stories(store)
    return connection_to(store)


async def decide_stories(place: Place) -> None:
    """Decide the stories in an empty ledger."""
    await decide_events(place, EVENTS, TODAY)


async def decide_events(place: Place, events: list[Event], now: datetime) -> None:
    """Decide such events in an empty ledger, and let the clock go on until then."""
    async with deciding(place, policies()) as decides:
        await decides.decide(as_read(in_order(events)))
        await decides.until(now)
