"""What corrections are tried on: events about a few wallets, and how these stand."""

from datetime import UTC, datetime

from tests.kit.deciding import Deciding
from tests.kit.replaying import Came, Event, closed, event, proposed, registered
from tests.kit.wrong_release import boosts_come_back_twice
from worker.ledger.memory_store import MemoryStore
from worker.ledger.tables import ChangeRow, SpendRow


def adjusted(name: str, adjustment: str, connects: int, at: str = "2026-03-03T11:00:00Z") -> Event:
    named = {"freelancer_id": name, "adjustment_id": adjustment, "connects": connects, "actor": "ana", "note": "n"}
    return event("connects-adjusted", f"a-{adjustment}", at, **named)


def interviewed(name: str, job: str, at: str, event_id: str = "") -> Event:
    named = {"freelancer_id": name, "job_id": job, "client_id": "c-1", "origin": "proposal", "client_hires": 5}
    return event("interview-won", event_id or f"i-{job}", at, **named, client_spent_cents=10_000_000)


def outbid(name: str, proposal: str, job: str = "j-1", at: str = "2026-03-03T12:00:00Z") -> Event:
    return event("boost-outbid", f"o-{proposal}", at, freelancer_id=name, proposal_id=proposal, job_id=job)


def withdrawn(name: str, proposal: str, job: str = "j-1", at: str = "2026-03-03T13:00:00Z") -> Event:
    return event("proposal-withdrawn", f"w-{proposal}-{at}", at, freelancer_id=name, proposal_id=proposal, job_id=job)


def sent_as(one: Event, event_id: str) -> Event:
    """The same event under another id."""
    return one[0], {**one[1], "event_id": event_id}


def boosted(name: str, proposal: str, connects: int, boost: int, job: str = "j-1") -> Event:
    topic, fields = proposed(name, proposal, job, connects)
    return topic, {**fields, "boost_connects": boost}


def last_change(store: MemoryStore, name: str = "f-1") -> ChangeRow:
    return max(store.tables.changes_of.of(name), key=lambda row: row.version)


def spend(store: MemoryStore, proposal: str) -> SpendRow:
    return store.tables.spends[proposal]


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def certified(name: str, at: str = "2026-03-05T10:00:00Z") -> tuple[str, dict[str, object]]:
    named = {"freelancer_id": name, "certification_id": "c-1", "kind": "skill-certification"}
    return event("certification-completed", f"k-{name}", at, **named)


async def boost_came_back_twice(decides: Deciding, came: Came) -> None:
    await came(registered("f-1"), boosted("f-1", "p-1", 6, 4), outbid("f-1", "p-1"), closed("j-1"))
    with boosts_come_back_twice():
        await decides.until(day("2026-03-05"))
