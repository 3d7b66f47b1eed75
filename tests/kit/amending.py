"""Corrections of amounts in memory: planned over an overlay, and applied by the commands of a plan."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from tests.kit import replaying
from tests.kit.deciding import GRACE, SKEW, Deciding
from tests.kit.overlays import MemorySnapshot
from tests.kit.voiding import READER
from worker.domain.policy import PolicyBook
from worker.ledger.memory_store import MemoryStore
from worker.proof.checks import Progress
from worker.proof.memory_reader import MemoryReader
from worker.repair.candidates import Candidates
from worker.repair.deciding import judged
from worker.repair.decision_selection import DecisionSelection
from worker.repair.judging import refusal_to_judge
from worker.repair.overlay import Overlay
from worker.repair.planning import Ground, Planned, plan_all
from worker.repair.planning_decides import to_decide


async def plan(
    store: MemoryStore,
    book: PolicyBook,
    seqs: Sequence[int] | None = None,
    corrected: PolicyBook | None = None,
    voids: Sequence[int] = (),
) -> Planned:
    """Plan to amend the decisions of these seqs (None: of all), by a corrected policy if there is one.

    Before that `voids` are voided.
    """
    rows = MemorySnapshot(store)
    selection = DecisionSelection(rows, UUID(int=0), refuses=refusal_to_judge)
    await selection.add_seqs("a test", [row.seq for row in store.tables.decisions] if seqs is None else seqs)
    amended = {row.decision_seq for row in store.tables.amended}
    chosen = [one.row for one in selection.in_order()]
    judging = await judged(MemoryReader(store), chosen, amended, corrected, Progress())
    overlay = Overlay(rows)
    await overlay.open()
    ground = Ground(book, GRACE, SKEW, READER, Progress(), datetime.now(UTC))
    decides, to_void = to_decide(selection, judging, amended), DecisionSelection(rows, UUID(int=0))
    await to_void.add_seqs("a test", voids)
    return await plan_all(overlay, Candidates(rows, READER, Progress()), ground, (), to_void, decides)


async def amend(
    decides: Deciding, book: PolicyBook, corrected: PolicyBook | None = None, *, name: str = replaying.PLAN
) -> Planned:
    """Plan to amend all decisions, and apply all of the plan."""
    assert isinstance(decides.store, MemoryStore)
    planned = await plan(decides.store, book, None, corrected)
    if planned.triggers:
        answer = await replaying.apply(decides, book, planned.triggers, name)
        assert (answer.reason, answer.told.get("booked")) == ("plan-applied", len(planned.triggers)), answer
    return planned
