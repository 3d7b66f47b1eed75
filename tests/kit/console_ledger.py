"""A ledger for tests of the console: the stories of the replies, a long history, and a role that only reads."""

import re
from datetime import timedelta
from typing import NamedTuple

import asyncpg

from tests.golden.reply_stories import EVENTS, TODAY, Event, applies, in_order, registers
from tests.kit import replaying
from tests.kit.deciding import as_read, deciding
from tests.kit.policies import later_version, policies, policy_text
from tests.kit.replaying import apply
from tests.kit.worker_process import ROOT
from worker.repair.plan import Added, Expected, Void

TOKEN = "0123456789abcdef-token"  # noqa: S105 - made up
NOTE = "<script>alert(1)</script>"
MANY = 120
ID_OF_NOBODY = "nobody-42"


def adjusts(number: int, who: str, connects: int, note: str) -> Event:
    named = {"freelancer_id": who, "adjustment_id": f"adj-{who}-{number}", "actor": "agent-lund", "note": note}
    return (f"11-10 10:{number % 60:02}", "connects-adjusted", {**named, "connects": connects})


MORE = [
    registers("11-01", "twin"),
    applies("11-02", "twin", "twin", 2, job_id="twin"),
    ("11-05", "badge-earned", {"freelancer_id": "many"}),  # it names no badge
    registers("11-01", "many"),
    *(adjusts(number, "many", 1 + number % 3, NOTE if number == MANY - 1 else "sorry") for number in range(MANY)),
]


LOST = Added(
    1,
    "freelancer-registered",
    "e-lost",
    '{"event_id": "e-lost", "occurred_at": "2026-11-20T10:00:00Z", "freelancer_id": "f-lost"}',
    "hour.jsonl",
    17,
    Expected("applied", "registered", {"f-lost": 40}),
)
"""An event that never came, and that a plan adds."""


class Places(NamedTuple):
    """A ledger by its owner's address and by the console's."""

    owner: str
    console: str


async def fill(owner: str, role: str) -> None:
    async with deciding(owner, policies()) as decides:
        decides.add_policies()
        await decides.decide(as_read(in_order([*EVENTS, *MORE])))
        await decides.until(TODAY)
        assert (await apply(decides, policies(), [LOST])).reason == "plan-applied"
    (granted,) = re.findall(r"(?s)```sql\n(.*?)```", (ROOT / "docs" / "console.md").read_text(encoding="utf-8"))
    connection = await asyncpg.connect(owner)
    await connection.execute(granted.replace("connects_console", role).replace("choose one", "x"))
    await connection.close()


CORRECTED = "c0" * 32
DIFFERS = "d1" * 32
BEGUN = "b2" * 32
EARLIER, LATER = "2026-01-01", "2027-01-01"
"""Policy versions: the one of policies/connects.toml, and one to come."""


async def add_trouble(owner: str) -> None:
    """Fill a migrated, empty ledger with what operators look at: three plans, and two policy versions.

    The plan CORRECTED adds two registrations and voids a purchase of 10 of which 3 are gone; all of DIFFERS has
    deviated, and BEGUN was only begun.
    """
    later = later_version(LATER, registration=50, overdraft="decline")
    book = policies(policy_text() + later)
    async with deciding(owner, book) as decides:
        decides.add_policies()
        came = replaying.Came(decides)
        off = {"freelancer_id": "f-1", "adjustment_id": "a-1", "connects": -3, "actor": "ana", "note": "sorry"}
        await came(replaying.bought("f-1", "b-1", 10))
        await came(replaying.event("connects-adjusted", "a-1", "2026-03-02T11:00:00Z", **off))
        connection = await asyncpg.connect(owner)
        bought = await connection.fetchval("SELECT seq FROM decisions WHERE event_id = 'e-b-1'")
        await connection.close()
        voided = Expected("applied", "voided", {"f-1": -7}, {"f-1": 3})
        void = Void(3, bought, "f-1", None, None, "connects-purchased", ["e-b-1"], "twice.jsonl", 1, voided)
        lost = [registration(number, f"lost-{number}") for number in (1, 2)]
        answer = await apply(decides, book, [*lost, void], CORRECTED)
        assert replaying.told(answer)[1:] == ("plan-applied", 3, 0, 0), answer
        decides.wall_clock += timedelta(minutes=1)
        answer = await apply(decides, book, [registration(1, "lost-3", 39)], DIFFERS)
        assert replaying.told(answer)[1:] == ("plan-applied", 0, 1, 0), answer
        decides.wall_clock += timedelta(minutes=1)
        assert (await replaying.begin(decides, book, 5, BEGUN)).reason == "plan-begun"


def registration(number: int, who: str, brings: int = 40) -> Added:
    """A trigger that adds somebody's registration, and is planned to bring so many Connects."""
    event = replaying.registered(who)
    planned = Expected("applied", "registered", {who: brings})
    return Added(number, event[0], event[1]["event_id"], replaying.value_of(event), "hour.jsonl", number, planned)
