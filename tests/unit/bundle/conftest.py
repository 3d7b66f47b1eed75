"""A small ledger in memory with every kind of thing that a bundle holds, and bundles of it."""

import asyncio
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.contract.test_the_log import put_command
from tests.kit.bundles import exported
from tests.kit.deciding import deciding
from tests.kit.policies import policies, policy_text
from tests.kit.story import day
from tests.property.test_writer_found_before import Timeline
from worker.bundle.format import Bundle
from worker.engine.commands import CommandRunner, read_command
from worker.kafka.records import InputRecord
from worker.ledger.memory_store import MemoryStore
from worker.proof.heads import Head


class Exported(NamedTuple):
    """A ledger, its heads after each batch, and bundles of it; the event is a purchase by f-1."""

    store: MemoryStore
    heads: list[Head]
    freelancer: Path
    event: Path
    job: Path
    bundles: dict[str, Bundle]


async def written() -> MemoryStore:
    """The ledger in memory."""
    store = MemoryStore()
    await written_to(store)
    return store


async def written_to(place: MemoryStore | str) -> None:
    """Two freelancers who meet: in an event id, a purchase, two proposals. A refund that is taken back; a command."""
    timeline, book = Timeline(), policies(policy_text(late_hire="claw-back"))

    def purchased(who: str, purchase: str, connects: int, **more: str) -> InputRecord:
        named = {"freelancer_id": who, "purchase_id": purchase, "connects": connects, **more}
        return timeline.event("connects-purchased", day(1), **named)

    def proposed(who: str, job: str, proposal: str) -> InputRecord:
        named = {"freelancer_id": who, "job_id": job, "proposal_id": proposal, "origin": "proposal", "connects": 2}
        return timeline.event("proposal-submitted", day(1), **named)

    async with deciding(place, book) as decides:
        decides.add_policies()
        await decides.writer.advance({})
        named = {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": "p-1"}
        await decides.decide([timeline.registered(day(0), "f-2"), timeline.registered(day(0))])
        await decides.commit()
        chosen = {"plan": "plus", "freelancer_id": "f-1"}
        await decides.decide(
            [
                timeline.event("boost-outbid", day(0), **named),
                purchased("f-2", "b-1", 7),
                purchased("f-1", "b-1", 7),
                purchased("f-1", "b-9", 9, event_id="e-connects-purchased-0"),
                timeline.bought(day(1), 60),
                timeline.proposed(day(1), 45),
                proposed("f-2", "j-1", "p-1"),
                timeline.event("membership-plan-chosen", day(2), **chosen),
            ]
        )
        await decides.commit()
        await decides.decide(
            [
                proposed("f-2", "j-2", "p-2"),
                timeline.event("proposal-withdrawn", day(2), freelancer_id="f-1", job_id="j-2", proposal_id="p-2"),
                timeline.closed(day(3)),
            ]
        )
        await decides.until(day(4))
        await put_command(decides, place if isinstance(place, str) else "")
        (asked,) = await decides.store.open_commands()
        await CommandRunner(decides.writer).run(read_command(asked))
        hired = {"job_id": "j-1", "freelancer_id": "f-2", "contract_id": "c-1"}
        await decides.decide([timeline.event("hire-made", day(2), read=day(5), **hired)])
        await decides.until(day(40))


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("bundles")
    subjects = {"freelancer": "f-1", "event": "e-connects-purchased-3", "job": "j-1"}

    async def write() -> tuple[MemoryStore, dict[str, Bundle]]:
        store = await written()
        first = next(iter(store.tables.batches))
        since = Head(first.log_size or 0, first.chain_head)
        made = {
            what: await exported(store, folder / f"{what}.bundle", since, **{what: name})
            for what, name in subjects.items()
        }
        return store, made

    store, made = asyncio.run(write())
    heads = [Head(row.log_size or 0, row.chain_head) for row in store.tables.batches]
    return Exported(store, heads, *(folder / f"{what}.bundle" for what in subjects), made)
