"""What many ask at once about the past is what each would be told alone, by every store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.kit.correcting import adjusted, boosted, outbid, withdrawn
from tests.kit.deciding import Deciding, deciding
from tests.kit.overlays import MemorySnapshot
from tests.kit.policies import policies
from tests.kit.replaying import Came, Event, apply, bought, closed, proposed, registered
from worker.domain.model import FreelancerId, JobId, ProposalId
from worker.errors import Transient
from worker.ledger.memory_store import MemoryStore
from worker.ledger.past import Together
from worker.ledger.postgres import PostgresStore
from worker.ledger.store import Past
from worker.queries.asking import connected
from worker.repair.overlay import Overlay
from worker.repair.plan import Expected, Void
from worker.repair.snapshot import PostgresSnapshot, Snapshot

BOOK = policies()
F_1, F_2, NOBODY = FreelancerId("f-1"), FreelancerId("f-2"), FreelancerId("f-9")
P_1, P_2, NONE = ProposalId("p-1"), ProposalId("p-2"), ProposalId("p-9")


def told_again() -> list[Event]:
    """Events that tell under other ids what was told before, one of it twice."""
    told = [bought("f-1", "b-3", 10), bought("f-1", "b-3", 10), bought("f-2", "b-2", 10), proposed("f-1", "p-1")]
    return [(topic, {**fields, "event_id": f"e-{number}"}) for number, (topic, fields) in enumerate(told)]


@pytest.fixture
async def decides(for_a_writer: str | MemoryStore) -> AsyncIterator[Deciding]:
    async with deciding(for_a_writer, BOOK) as decides:
        decides.add_policies()
        came = Came(decides)
        await came(registered("f-1"), registered("f-2"), bought("f-1", "b-1", 30), adjusted("f-2", "a-1", -3))
        await came(proposed("f-1", "p-1"), boosted("f-2", "p-2", 6, 2, "j-2"), withdrawn("f-1", "p-1"))
        await came(outbid("f-2", "p-2", "j-2"), outbid("f-2", "p-1"), closed("j-1"))
        await came(bought("f-2", "b-2", 10), bought("f-1", "b-3", 10), bought("f-1", "b-4", 5), *told_again())
        seq = next(row.seq for one in decides.committed for row in one.batch.decisions if row.event_id == "e-b-1")
        expected = Expected("applied", "voided", {"f-1": -30})
        bought_by_mistake = Void(1, seq, "f-1", None, None, "connects-purchased", ["e-b-1"], "a test", 1, expected)
        answer = await apply(decides, BOOK, [bought_by_mistake])
        assert answer.told["booked"] == 1, answer
        yield decides


async def all_told(past: Past, last: int) -> list[object]:
    """Everything that can be asked, asked at once."""
    seqs = range(last + 2)
    return await asyncio.gather(
        *(past.in_full(seq) for seq in seqs),
        *(past.first_decisions([seq]) for seq in seqs),
        *(past.first_decisions(list(seqs)) for _ in range(2)),
        *(past.standing(seq, proposal) for seq in seqs for proposal in (None, P_1)),
        *(past.moved_since(name, version) for name in (F_1, F_2, NOBODY) for version in (0, 1, 2, 99)),
        *(past.linked_lots(name) for name in (F_1, F_2, NOBODY)),
        *(past.naming(name) for name in (P_1, P_2, NONE)),
        *(past.mentioned([f"s:{seq}", f"s:{seq}"], 0) for seq in seqs),
        *(past.mentioned(keys, after) for keys in ([], ["p:p-1", "j:j-1"], ["f:f-2"]) for after in (0, 5, last)),
        *(past.spends(names) for names in ([P_1], [P_1, NONE, P_2], [])),
        *(past.jobs([job]) for job in map(JobId, ("j-1", "j-2", "j-9"))),
        past.grants([("grant.purchase", "b-1"), ("grant.registration", "f-1")]),
        past.memberships([F_1, NOBODY]),
        past.held([F_1]),
        past.lots([]),
        past.settled_by(JobId("j-1"), P_1),
    )


async def test_all_is_told_together_as_alone(decides: Deciding) -> None:
    last = (await decides.store.tail()).last_seq
    alone, together = await all_told(decides.store, last), await all_told(decides.store.together(), last)
    for one, other in zip(together, alone, strict=True):
        assert repr(one) == repr(other)


@asynccontextmanager
async def snapshot_of(ledger: str | MemoryStore) -> AsyncIterator[Snapshot]:
    if isinstance(ledger, MemoryStore):
        yield MemorySnapshot(ledger)
        return
    async with connected(ledger) as connection:
        rows = PostgresSnapshot(connection)
        await rows.begin()
        yield rows


async def test_an_overlay_tells_all_together_what_the_ledger_does(
    decides: Deciding, for_a_writer: str | MemoryStore
) -> None:
    last = (await decides.store.tail()).last_seq
    alone = await all_told(decides.store, last)
    async with snapshot_of(for_a_writer) as rows:
        overlay = Overlay(rows)
        await overlay.open()
        for _ in range(2):
            for one, other in zip(await all_told(overlay, last), alone, strict=True):
                assert repr(one) == repr(other)


async def test_all_are_counted_that_were_refused_because_of_several_decisions(
    decides: Deciding, for_a_writer: str | MemoryStore
) -> None:
    rows = [row for one in decides.committed for row in one.batch.decisions]
    bought_first = [next(row for row in rows if row.event_id == name) for name in ("e-b-3", "e-b-2", "e-b-4")]
    first = [*bought_first, next(row for row in rows if row.proposal_id == P_1)]
    async with snapshot_of(for_a_writer) as asked:
        assert list(await asked.claimants(first)) == [2, 1, 0, 1]
        assert list(await asked.claimants([])) == []


@pytest.mark.postgresql_only
async def test_there_is_one_statement_for_each_question(decides: Deciding) -> None:
    store, asked = decides.store, list[str]()
    assert isinstance(store, PostgresStore)

    async def rows(statement: str, *arguments: object) -> object:
        asked.append(statement)
        return await store._rows(statement, *arguments)  # noqa: SLF001 - to count the statements

    past = Together(store, rows)  # type: ignore[arg-type]
    last = (await store.tail()).last_seq
    await asyncio.gather(*(past.in_full(seq) for seq in range(last)), *(past.moved_since(F_1, at) for at in range(9)))
    assert sorted(asked) == ["changes_in_full", "decisions_in_full", "moved_since"]
    await past.in_full(1)
    assert len(asked) == 5, "what is asked later is looked up again: the ledger goes on"


@pytest.mark.postgresql_only
async def test_all_who_ask_are_told_that_the_database_is_away(decides: Deciding) -> None:
    async def away(*_: object) -> list[object]:
        raise Transient("away")

    past = Together(decides.store, away)  # type: ignore[arg-type]
    told = await asyncio.gather(past.in_full(1), past.in_full(2), past.naming(P_1), return_exceptions=True)
    assert [type(one) for one in told] == [Transient] * 3
