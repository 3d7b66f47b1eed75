"""Voids of withdrawals, outbids and registrations: of parked ones, and where today's rules decide otherwise.

Where they do, the record is followed: what it left is what counts for the next decisions.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from tests.kit import replaying, undoing, voiding
from tests.kit.correcting import boosted, day, outbid, sent_as, withdrawn
from tests.kit.deciding import Deciding
from tests.kit.deciding_again import decide_again
from tests.kit.policies import policies
from tests.kit.replaying import Came, balance, bought, closed, nothing_is_found, proposed, registered
from worker.domain.decisions import Verdict
from worker.domain.model import FreelancerId
from worker.domain.rules import undos, voids
from worker.domain.rules.cycles import begin, forget_beginning
from worker.domain.state import Changed, State
from worker.kafka.records import TopicPartition
from worker.ledger.memory_store import MemoryStore
from worker.ledger.parked import ParkedKey
from worker.proof.memory_reader import MemoryReader
from worker.proof.memory_rows import MemoryRows
from worker.proof.undoing import before
from worker.proof.undoing import undo as take_back

BOOK = policies()
WITHDRAWN = "w-p-1-2026-03-03T13:00:00Z"
SECOND, THIRD = "cd" * 32, "de" * 32


def otherwise(rule: Callable[..., Verdict]) -> Callable[..., Verdict]:
    """The same rule, but for one more fact."""

    def decide(*how: Any) -> Verdict:  # noqa: ANN401
        verdict = rule(*how)
        verdict.facts = {**verdict.facts, "otherwise": True}
        return verdict

    return decide


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
@pytest.mark.parametrize("undone", [False, True])
async def test_what_is_decided_otherwise_now_is_followed(
    decides: Deciding,
    came: Came,
    store: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
    parts: int,
    *,
    undone: bool,
) -> None:
    await came(registered("f-1"), boosted("f-1", "p-1", 4, 2), withdrawn("f-1", "p-1"), outbid("f-1", "p-1"))
    await came(bought("f-2", "b-2", 10), sent_as(outbid("f-2", "p-1"), "o-other"), withdrawn("f-2", "p-9"))
    await voiding.void(decides, BOOK, WITHDRAWN, "o-p-1", "o-other", "r-f-1")
    if undone:
        await undoing.undo(decides, BOOK)
    await came(proposed("f-2", "p-2", "j-2"), sent_as(withdrawn("f-1", "p-1"), "w-later"), closed("j-1"))
    await decides.until(day("2026-04-10"))
    monkeypatch.setattr(voids, "void", otherwise(voids.void))
    monkeypatch.setattr(undos, "undo", otherwise(undos.undo))
    found = await decide_again(MemoryReader(store, 50), parts, MemoryRows(store.tables))
    corrections = [row for row in store.tables.decisions if row.rule in {"correct.void", "correct.undo"}]
    assert found.seqs("code-changed") == sorted(row.seq for row in corrections), f"{found}"
    assert len(found.findings) == len(corrections), f"{found}"
    assert (found.tally.row_count, found.tally.skipped) == (0, 0), f"{found}"


def test_a_beginning_that_is_forgotten_wrongly_is_there_again() -> None:
    state = State(timedelta(0))
    membership = state.membership(FreelancerId("f-1"))
    begin(state, membership, date(2026, 3, 1), BOOK.versions[0])
    state.changed = Changed()
    forget_beginning(state, membership)
    take_back(state, [], before(1, [], None))
    assert (membership.cycle_start, membership.next_renewal) == (date(2026, 3, 1), date(2026, 4, 1))


@pytest.mark.parametrize("waits", [False, True])
async def test_one_that_was_parked_and_released(
    decides: Deciding, came: Came, store: MemoryStore, *, waits: bool
) -> None:
    """It is the decision that followed when it was released which is voided; `waits`: its proposal came later."""
    failing = decides.writer._failing  # noqa: SLF001 - as if the rule failed
    failing[TopicPartition("boost-outbid", 0), 0, 1] = "a bug"
    await came(bought("f-1", "b-1", 10), outbid("f-1", "p-1"))
    failing.clear()
    (left,) = (await voiding.plan(store, BOOK, voiding.seqs_of(store, "o-p-1"))).summary.left_for_a_person
    assert left.what == "decisions that parked an event"
    if not waits:
        await came(boosted("f-1", "p-1", 4, 2))
    await decides.writer.release(ParkedKey("wallet", "f-1"))
    await decides.commit()
    if waits:
        await came(boosted("f-1", "p-1", 4, 2))
    assert balance(store, "f-1") == 6
    released = [row.seq for row in store.tables.decisions if row.topic == "boost-outbid" and row.kind == "follow-up"]
    for name, undo in ((replaying.PLAN, undoing.UNDO), (SECOND, THIRD)):
        planned = await voiding.plan(store, BOOK, released[:1])
        await replaying.apply(decides, BOOK, planned.triggers, name)
        assert balance(store, "f-1") == 4, replaying.became(store)
        await nothing_is_found(store, 1, 3)
        await undoing.undo(decides, BOOK, name, undo)
        assert balance(store, "f-1") == 6
        await nothing_is_found(store, 1, 3)
