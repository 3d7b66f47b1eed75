"""A ledger for tests of the console: the stories of the replies, a long history, and a role that only reads."""

import re
from typing import NamedTuple

import asyncpg

from tests.golden.reply_stories import EVENTS, TODAY, Event, applies, in_order, registers
from tests.kit.deciding import as_read, deciding
from tests.kit.policies import policies
from tests.kit.replaying import apply
from tests.kit.worker_process import ROOT
from worker.ledger.migrate import migrate
from worker.repair.plan import Added, Expected

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
    await migrate(owner)
    async with deciding(owner, policies()) as decides:
        decides.add_policies()
        await decides.decide(as_read(in_order([*EVENTS, *MORE])))
        await decides.until(TODAY)
        assert (await apply(decides, policies(), [LOST])).reason == "plan-applied"
    (granted,) = re.findall(r"(?s)```sql\n(.*?)```", (ROOT / "docs" / "console.md").read_text(encoding="utf-8"))
    connection = await asyncpg.connect(owner)
    await connection.execute(granted.replace("connects_console", role).replace("choose one", "x"))
    await connection.close()
