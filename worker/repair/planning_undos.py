"""Deciding the undos of a plan over the overlay: what another plan booked is reversed, the latest decision first."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from worker.domain.state import Voided
from worker.futures import in_parts
from worker.ledger.tables import ReplayedRow
from worker.proof.checks import Progress
from worker.repair.collecting import Collected
from worker.repair.overlay import Overlay
from worker.repair.plan import NOTHING, Undo
from worker.repair.planning_voids import AT_ONCE, PLANNING, Correcting
from worker.repair.undoing import LATER_STANDS, NOTHING_TO_UNDO, OTHER_KINDS
from worker.repair.undoing_amounts import PROPOSALS
from worker.repair.voiding import Refused

_SHOWN_OF_A_HASH: Final = 12
_IDS_STAY_USED: Final = Refused(
    "event ids of added events that are undone",
    "an id stays used: the same event again is a repeat",
    "Send one that was right after all under a new event id",
)
SETTLED_WITH: Final = Refused(
    "settles of proposals whose event the same plan replaced",
    "not-undone-yet: the event keeps the content that it was given, and by that the proposal is settled",
    "Replace the event by the content that it had: that plan settles the proposal by it",
)


class Booked(NamedTuple):
    """What a plan booked, the latest decision first."""

    plan: str
    triggers: Sequence[ReplayedRow]

    @property
    def source(self) -> str:
        """How the plan is named as the source of undos."""
        return f"plan {self.plan[:_SHOWN_OF_A_HASH]}"

    @property
    def replaced(self) -> set[tuple[str | None, str | None]]:
        """The freelancers and jobs of proposals whose events the plan replaced: their settles belong to that."""
        rows = (row for row in self.triggers if row.kind == "replace" and row.topic == "proposal-submitted")
        return {(row.freelancer_id, row.job_id) for row in rows}

    def covered(self, voided: Iterable[Voided]) -> set[str | None]:
        """The jobs of which a closure or hire was voided after this plan: what it did on them rests on that."""
        own = {row.decision_seq for row in self.triggers}
        first: dict[str | None, int] = {}
        for row in self.triggers:  # the latest first
            first[row.job_id] = row.decision_seq or 0
        later = (one for one in voided if one.by_seq not in own)
        return {one.job_id for one in later if one.by_seq > first.get(one.job_id, one.by_seq)}


async def plan_undos(
    writer: Correcting, overlay: Overlay, booked: Booked, collected: Collected, progress: Progress
) -> None:
    """Undo what a plan booked, as far as it goes, and note what is left for a person.

    Raises:
        Transient: the ledger is away.
    """
    progress.begin("undone", len(booked.triggers), "triggers")
    replaced, covered = booked.replaced, booked.covered(await overlay.voided_of_jobs())
    still_settled = set[str | None]()
    for some in in_parts(booked.triggers, AT_ONCE):
        await writer.look_ahead([_trigger(booked, row, 0) for row in some if row.kind not in OTHER_KINDS])
        for row in some:
            progress.advance(1)
            refused = _refusal(row, replaced, covered)
            if refused is None and (row.kind, row.topic) == ("void", "hire-made") and row.job_id in still_settled:
                refused = LATER_STANDS  # else what was settled because it is void stays, though it counts again
            if refused is not None:
                if row.kind == "settle":
                    still_settled.add(row.job_id)
                collected.leave(refused, 1)
                continue
            trigger = _trigger(booked, row, collected.next_number())
            (result,) = await writer.try_corrections([trigger], PLANNING)
            collected.note_result(trigger, result)
            if row.kind == "settle" and not isinstance(result, str) and result not in NOTHING_TO_UNDO:
                still_settled.add(row.job_id)
            if result == "booked" and row.kind == "add":
                collected.leave(_IDS_STAY_USED, 1)


def _refusal(
    row: ReplayedRow, replaced: Collection[tuple[str | None, str | None]], covered: Collection[str | None]
) -> Refused | None:
    """Why what a trigger booked is not undone, by the plan as a whole; None: the ledger is asked.

    `replaced` are the freelancers and jobs of proposals whose events it replaced, `covered` the jobs on which others
    voided something since.
    """
    if (row.kind, row.topic) == ("replace", "proposal-submitted"):
        return PROPOSALS
    if row.kind == "settle" and (row.freelancer_id, row.job_id) in replaced:
        return SETTLED_WITH
    if row.kind in {"void", "settle"} and row.job_id in covered:
        return LATER_STANDS
    return OTHER_KINDS.get(row.kind)


def _trigger(booked: Booked, row: ReplayedRow, number: int) -> Undo:
    """A trigger that is not planned yet; what it brings is known when it is decided."""
    named = (row.freelancer_id or "", row.job_id, None, row.topic, [row.event_id])
    return Undo(number, row.decision_seq or 0, *named, booked.source, row.number, NOTHING)
