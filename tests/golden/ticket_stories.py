"""Tickets as freelancers write them, the ledger behind them, and what an agent asks the worker to find the reply.

Nobody who writes a ticket knows an event's id: each is asked by a person, a proposal, or a topic.
"""

from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from tests.golden.reply_stories import (
    Event,
    applies,
    chooses,
    closes,
    decide_events,
    hires,
    interview,
    pays,
    registers,
    withdraws,
)
from tests.kit.deciding import Place

NOW: Final = datetime(2026, 11, 30, 8, tzinfo=UTC)


class Ticket(NamedTuple):
    """What somebody wrote; and what the agent asks: `about` is `proposal`, `freelancer`, or a topic of answers."""

    words: str
    who: str
    about: str
    key: str = ""


def of(when: str, topic: str, **fields: Any) -> Event:  # noqa: ANN401
    return (when, topic, fields)


def outbid(when: str, who: str, number: str) -> Event:
    return of(when, "boost-outbid", freelancer_id=who, job_id=f"job-{number}", proposal_id=f"p-{number}")


def buys(when: str, who: str, count: int) -> Event:
    return of(when, "connects-purchased", freelancer_id=who, purchase_id=f"buy-{who}", connects=count)


def suspends(when: str, who: str, scope: str = "account") -> Event:
    return of(when, "account-suspended", freelancer_id=who, scope=scope)


def earns(when: str, who: str) -> Event:
    return of(when, "badge-earned", freelancer_id=who, badge="rising-talent")


def on_plus(who: str, chosen: str, *renewed: str) -> list[Event]:
    """Somebody who chose Plus, paid, and paid each of these renewals in the morning."""
    first = pays(f"{chosen} 10:00", who, f"plus-{who}:1", f"paid-{who}")
    later = [pays(f"{on} 06:00", who, f"2026-{on}:1", f"paid-{who}-{on}") for on in renewed]
    return [chooses(chosen, who, "plus", f"plus-{who}"), first, *later]


EVENTS: Final[list[Event]] = [
    registers("08-20", "mara"),
    applies("10-25", "mara", "a1", 6),
    closes("11-03", "a1"),
    applies("11-07", "mara", "a2", 14),
    closes("11-21", "a2", "expired"),
    applies("11-25", "mara", "a3", 4),
    registers("09-12", "deniz"),
    applies("11-04", "deniz", "b1", 12, 14),
    outbid("11-06", "deniz", "b1"),
    hires("11-14", "b1"),
    closes("11-16", "b1"),
    registers("07-03", "oleg"),
    buys("07-04", "oleg", 60),
    applies("11-10", "oleg", "c1", 10, 30),
    hires("11-19", "c1"),
    registers("08-31", "priya"),
    applies("11-20", "priya", "d1", 8),
    registers("2025-11-24", "tomas"),
    applies("11-02", "tomas", "e1", 5),
    closes("11-09", "e1"),
    registers("10-03", "yuki"),
    *on_plus("yuki", "10-29", "11-01"),
    registers("10-12", "amir"),
    *on_plus("amir", "11-22"),
    registers("11-03", "lena"),
    applies("11-26", "lena", "f1", 16),
    registers("08-02", "bruno"),
    *on_plus("bruno", "08-15", "09-15", "10-15"),
    chooses("11-10", "bruno", "basic", "down-bruno"),
    registers("10-20", "sofia"),
    applies("11-18", "sofia", "sofia-1", 7),
    interview("11-24", "sofia", 1, 0, 0),
    registers("06-18", "kwame"),
    applies("10-29", "kwame", "g1", 9),
    closes("11-17", "g1"),
    registers("09-05", "hana"),
    of(
        "11-20",
        "connects-adjusted",
        freelancer_id="hana",
        adjustment_id="adj-hana",
        connects=10,
        actor="agent-lund",
        note="goodwill",
    ),
    registers("07-11", "igor"),
    *on_plus("igor", "07-20", "08-20", "09-20", "10-20"),
    pays("11-20 06:00", "igor", "2026-11-20:1", "failed-igor", "failed"),
    registers("09-30", "fatima"),
    applies("11-12", "fatima", "h1", 16),
    withdraws("11-13", "fatima", "h1"),
    closes("11-22", "h1"),
    registers("05-17", "jun"),
    suspends("09-10", "jun"),
    of("10-02", "account-reinstated", freelancer_id="jun", scope="account"),
    registers("10-08", "carla"),
    applies("11-05", "carla", "k1", 8),
    applies("11-06", "carla", "k2", 8),
    closes("11-10", "k1", "removed-by-marketplace"),
    registers("10-01", "noor"),
    applies("10-10", "noor", "l1", 30),
    applies("10-12", "noor", "l2", 16),
    applies("10-14", "noor", "l3", 24),
    hires("10-20", "l1"),
    closes("10-25", "l2", "expired"),
    buys("11-27", "noor", 100),
    registers("09-19", "pedro"),
    applies("11-08", "pedro", "m1", 12),
    hires("11-11", "m1"),
    closes("11-13", "m1", "removed-by-marketplace"),
    registers("04-06", "wei"),
    earns("06-01", "wei"),
    earns("11-23", "wei"),
    of("11-24", "certification-completed", freelancer_id="wei", certification_id="upwork-101", kind="learning-path"),
    registers("06-05", "zara"),
    buys("06-09", "zara", 80),
    *on_plus("zara", "10-18", "11-18"),
    registers("10-15", "sven"),
    *(applies(at, "sven", "n1", 6, 10, event_id=f"n1-{number}") for number, at in enumerate(("11-23", "11-23 09:05"))),
    registers("09-01", "tina"),
    *on_plus("tina", "09-28", "10-28"),
    registers("10-02", "ugo"),
    applies("11-09", "ugo", "o1", 15),
    hires("11-12", "o1", "ugo"),
    closes("11-20", "o1"),
    registers("10-22", "vera"),
    applies("11-15", "vera", "vera-9", 5, origin="invite"),
    of(
        "11-19",
        "interview-won",
        freelancer_id="vera",
        job_id="job-vera-9",
        client_id="c",
        origin="invite",
        client_hires=4,
        client_spent_cents=500_000,
    ),
    registers("10-24", "yana"),
    of("11-20", "promo-code-entered", freelancer_id="yana", promo_code="WELCOME50"),
    registers("11-02", "ziad"),
    applies("11-19", "ziad", "s1", 8, 12),
    outbid("11-21", "ziad", "s1"),
    registers("09-09", "aldo"),
    applies("10-01", "aldo", "t1", 11),
    closes("10-20", "t1", "expired"),
    closes("11-18", "t1"),
    registers("08-11", "cem"),
    suspends("11-01", "cem"),
    registers("08-03", "dora"),
    *on_plus("dora", "10-05", "11-05"),
    suspends("11-12", "dora", "billing-method"),
    registers("10-16", "farid"),
    chooses("11-25", "farid", "plus", "plus-farid"),
    pays("11-25 10:00", "farid", "plus-farid:1", "failed-farid", "failed"),
    registers("09-03", "greta"),
    *on_plus("greta", "09-18", "10-18", "11-18"),
    chooses("11-18 15:00", "greta", "basic", "down-greta"),
]
TICKETS: Final = [
    Ticket(
        "The client CLOSED the logo job, hired nobody, and my 14 credits never came back", "mara", "proposal", "p-a2"
    ),
    Ticket("Where are all my connects from this autumn?", "mara", "freelancer"),
    Ticket("you people gave me back only 14 of my 26. wheres the rest", "deniz", "freelancer"),
    Ticket("i paid 30 extra to be on top and somebody outbid me. refund my boost NOW", "oleg", "boosts"),
    Ticket("my proposal is nowhere, give me everything back", "oleg", "freelancer"),
    Ticket("It is the 30th and I still don't have my free monthly tokens", "priya", "late"),
    Ticket("I joined on the 31st, why is my day the 1st", "priya", "month-end"),
    Ticket("My account had 40 more last week. I didn't apply to anything. Who stole them?", "tomas", "expiry"),
    Ticket("balance wrong!!!", "tomas", "freelancer"),
    Ticket("You charged me TWICE in three days, on 29 October and on 1 November", "yuki", "month-end"),
    Ticket("I paid for 80 and got 73. Send me my 7", "amir", "upgrade-amount"),
    Ticket("Client declined me one minute after I applied, never even opened it", "lena", "declined"),
    Ticket("I'm a Plus member and this month I only got 10. Fix", "bruno", "late"),
    Ticket("did you cancel my plus??", "bruno", "leaving-plus"),
    Ticket("I won an interview last Tuesday, still no bonus", "sofia", "interviews"),
    Ticket("what happened to my account", "sofia", "freelancer"),
    Ticket("The client hired someone OUTSIDE the platform and closed the job. I want my 9", "kwame", "freelancer"),
    Ticket("what does this refund mean, did I do something wrong", "kwame", "refund-meaning"),
    Ticket("Your colleague promised me 20 as an apology. I only see 10", "hana", "courtesy"),
    Ticket("Card was declined on the 20th. Now my Plus is gone??", "igor", "failed-payment"),
    Ticket("everything is broken since the 20th", "igor", "freelancer"),
    Ticket("I withdrew because the client changed the budget, not my fault", "fatima", "withdrawn"),
    Ticket("refund please, the job was cancelled anyway", "fatima", "freelancer"),
    Ticket("You suspended me by mistake and lifted it. I'm missing a month", "jun", "suspension"),
    Ticket("Two deductions of 8 for the SAME job", "carla", "twin-jobs"),
    Ticket("One came back, the other didn't. Explain", "carla", "freelancer"),
    Ticket("I bought 100 and my balance is only 80", "noor", "buying"),
    Ticket("why was I at minus 20", "noor", "overdrawn"),
    Ticket("where did 46 connects go", "noor", "freelancer"),
    Ticket("Job was a scam, it got removed, I got zero", "pedro", "removed"),
    Ticket("I earned Rising Talent again and no 30 this time", "wei", "badges"),
    Ticket("I finished Upwork 101, where's my reward", "wei", "certifications"),
    Ticket("nothing arrives any more", "wei", "freelancer"),
    Ticket("do my 80 bought ones vanish if I cancel Plus", "zara", "buying"),
    Ticket("charged twice for one proposal", "sven", "charged-twice"),
    Ticket("I see two payments", "sven", "freelancer"),
    Ticket("new cycle began on the 28th, where are my 80", "tina", "late"),
    Ticket("my plus connects??", "tina", "freelancer"),
    Ticket("my contract was cancelled before it started", "ugo", "contract-cancelled"),
    Ticket("I was interviewed and got no connects", "vera", "invitations"),
    Ticket("no reward", "vera", "freelancer"),
    Ticket("promo code didn't work", "yana", "promo"),
    Ticket("I have a coupon and nothing happened", "yana", "freelancer"),
    Ticket("outbid but only part came back", "ziad", "boosts"),
    Ticket("the job was opened again and closed again", "aldo", "reopened"),
    Ticket("when do refunds come", "aldo", "refund-time"),
    Ticket("suspended, no monthly connects", "cem", "suspension"),
    Ticket("is my plus over because you blocked my card", "dora", "suspension"),
    Ticket("what now", "dora", "freelancer"),
    Ticket("I wanted Plus and nothing happened", "farid", "failed-payment"),
    Ticket("nothing works", "farid", "freelancer"),
    Ticket("I cancelled and you charged me the same day", "greta", "leaving-plus"),
    Ticket("how many do I get and when", "greta", "freelancer"),
]


async def decide_tickets(place: Place) -> None:
    """Decide what is behind the tickets in an empty ledger."""
    await decide_events(place, EVENTS, NOW)
