"""An overlay on a ledger of any store answers as a ledger that has all of it, and the ledger below stays as it was."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

import msgspec
import pytest

from tests.contract.conftest import Kept, Place
from tests.contract.test_what_is_committed_is_read_back import all_of, eventful
from tests.kit.overlays import MemorySnapshot
from tests.kit.story import Story, day
from worker.domain.model import FreelancerId, JobId, LotId, ProposalId
from worker.ledger.event_key import seen_key
from worker.ledger.memory_store import MemoryStore
from worker.ledger.parked import ParkedKey
from worker.ledger.store import Store
from worker.ledger.tables import ParkedRow
from worker.queries.asking import connected
from worker.repair.overlay import Overlay
from worker.repair.snapshot import PostgresSnapshot, Snapshot

PROPOSALS = [ProposalId(f"p-{number}") for number in range(1, 10)]
JOBS = [JobId(f"j-{number}") for number in range(1, 10)]
EVENTS = len(list(eventful(Story())))

Over = Callable[[], AbstractAsyncContextManager[Kept]]
"""Opens an overlay on what was kept, with the writer's part of going on with the story there."""


@pytest.fixture
def over(kept: Kept, place: Place) -> Over:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Kept]:
        async with _snapshot_of(kept, place) as rows:
            overlay = Overlay(rows)
            await overlay.open()

            async def lead() -> int:
                return overlay.lead()

            yield Kept(
                overlay,
                lead,
                await lead(),
                "The ledger in memory",
                _worded=kept._worded,  # noqa: SLF001 - the story goes on there
                _due_done=kept._due_done,  # noqa: SLF001
                last_decisions=kept.last_decisions,
            )

    return opened


@asynccontextmanager
async def _snapshot_of(kept: Kept, place: Place) -> AsyncIterator[Snapshot]:
    if isinstance(kept.store, MemoryStore):
        yield MemorySnapshot(kept.store)
        return
    async with connected(place.url) as connection:
        rows = PostgresSnapshot(connection)
        await rows.begin()
        yield rows


async def all_in(store: Store, story: Story) -> object:
    """All that decisions may ask about the story."""
    freelancers = [*story.state.wallets, FreelancerId("f-0")]
    keys = [seen_key(one.cause.topic or "", one.cause.event_id or "") for one in story.decisions]
    lots = [(name, LotId(f"{name}:{number}")) for name in freelancers for number in range(1, 20)]
    seen = await store.seen(keys)
    found = [
        await store.wallets(freelancers, None),
        await store.wallets(freelancers, day(9_999)),
        sorted(await store.lots(lots), key=lambda lot: lot.order),
        await store.spends(PROPOSALS),
        await store.jobs(JOBS),
        await store.awaiting(PROPOSALS),
        await store.memberships(freelancers),
        await store.held(freelancers),
        sorted(await store.grants(story.state.grants), key=lambda grant: (grant.rule, grant.natural_key)),
        await store.last_decisions(freelancers),
        await store.parked(),
        seen,
        await store.first_decisions(list(seen.values())),
    ]
    tail = await store.tail()
    return msgspec.to_builtins(found, builtin_types=(datetime, bytes)), tail.last_seq, tail.business_time


async def whole(story: Story) -> object:
    """The same in one ledger that has everything."""
    store = MemoryStore()

    async def lead() -> int:
        return store.lead()

    every = Kept(store, lead, await lead())
    await every.keep(story)
    return await all_in(store, story)


@pytest.mark.parametrize("below", [0, 1, 4, 8, 12, 17, EVENTS - 1, EVENTS])
@pytest.mark.parametrize("asks_first", [False, True])
async def test_it_answers_as_a_ledger_that_has_all_of_it(
    kept: Kept, over: Over, story: Story, below: int, *, asks_first: bool
) -> None:
    events = eventful(story)
    for _ in range(below):
        next(events)
    await kept.keep(story)
    before = await all_in(kept.store, story)
    async with over() as overlay:
        if asks_first:
            assert await all_in(overlay.store, story) == before
        for _ in events:
            await overlay.keep(story)
        assert await all_in(overlay.store, story) == await whole(all_of(Story()))
    assert (await kept.store.tail()).last_seq == len(kept.batches[-1].decisions)


@pytest.mark.postgresql_only("a ledger in memory has no snapshots: nothing may be written while one is read")
async def test_what_is_committed_below_meanwhile_is_not_seen(kept: Kept, over: Over, story: Story) -> None:
    await kept.keep(story)
    async with over() as overlay:
        story.registered("f-1")
        await kept.keep(story)
        assert await overlay.store.wallets([FreelancerId("f-1")], None) == {}
        assert (await overlay.store.tail()).last_seq == 0


async def test_rows_are_read_once(kept: Kept, over: Over, story: Story) -> None:
    all_of(story)
    await kept.keep(story)
    async with over() as overlay:
        asked: list[str] = []
        below = overlay.store._snapshot  # type: ignore[attr-defined] # noqa: SLF001
        for name in ("changes", "lots", "spends", "hires", "awaiting", "decisions", "seen", "grants", "memberships"):
            setattr(below, name, _noted(getattr(below, name), name, asked))
        await all_in(overlay.store, story)
        assert len(asked) > 5
        asked.clear()
        await all_in(overlay.store, story)
        assert asked == []


async def test_what_is_parked_below_is_parked_here(kept: Kept, over: Over, story: Story) -> None:
    story.registered("f-1")
    batch = await kept.open_batch(story)
    batch.parked.append(ParkedRow("job", "j-1", 1, "failed", day(0)))
    await kept.commit(batch)
    async with over() as overlay:
        assert await overlay.store.parked() == {ParkedKey("job", "j-1"): set()}


def _noted(read: Callable[..., object], name: str, asked: list[str]) -> Callable[..., object]:
    def noted(*arguments: object) -> object:
        asked.append(name)
        return read(*arguments)

    return noted
