"""Deciding what a plan would void, over its overlay: the latest decision first."""

from collections.abc import Sequence
from typing import Final, Protocol

from worker.domain.model import Cause
from worker.domain.rules.spends import SPEND
from worker.engine.correcting import Result
from worker.ledger.tables import DecisionRow
from worker.proof.checks import Progress
from worker.repair.collecting import Collected
from worker.repair.decision_selection import Chosen, DecisionSelection
from worker.repair.overlay import Overlay
from worker.repair.plan import NOTHING, Correction, Void
from worker.repair.selecting import JobToSettle
from worker.repair.voiding import OF_JOBS, Refused

PLANNING: Final = Cause(None, "command:plan")
"""The cause of corrections while they are planned; the command that decides them is not known yet."""
_CLAIMANTS: Final = Refused(
    "events that were refused because of what is voided",
    "their natural key or proposal id is free again, and a plan does not decide them again",
    "Those that are right: add them under new event ids, with `connects replay plan --add`",
)


class Correcting(Protocol):
    """What is asked of the writer."""

    async def try_corrections(self, corrections: Sequence[Correction], cause: Cause) -> list[Result]:
        """Decide corrections in order, and commit those that book something; returns what each came to."""
        ...


async def plan_voids(
    writer: Correcting, overlay: Overlay, selection: DecisionSelection, collected: Collected, progress: Progress
) -> list[JobToSettle]:
    """Void what was selected, and note what is left for a person; returns the jobs that have to be settled again.

    Those of closures and hires that were voided before are among them: not all that followed may be booked yet.

    Raises:
        Transient: the ledger is away.
    """
    for refused, events in selection.left.items():
        collected.leave(refused, events)
    chosen = selection.in_order()
    progress.begin("voided", len(chosen), "decisions")
    collected.nothing_to_void += selection.nothing_to_do
    jobs = dict[str, JobToSettle]()
    for one in chosen:
        trigger = _trigger(one, collected.next_number())
        (result,) = await writer.try_corrections([trigger], PLANNING)
        collected.note_result(trigger, result)
        if trigger.job_id is not None and one.row.topic in OF_JOBS:
            jobs.setdefault(trigger.job_id, JobToSettle(trigger.job_id, False, one.source, one.line))
        elif result == "booked" and (claimants := await overlay.claimants(one.row)):
            collected.leave(_CLAIMANTS, claimants)
        progress.advance(1)
    collected.require_room()
    return list(jobs.values())


def _trigger(chosen: Chosen, number: int) -> Void:
    row: DecisionRow = chosen.row
    freelancer_id = "" if row.topic in OF_JOBS else row.freelancer_id or ""
    names = (freelancer_id, row.job_id, row.proposal_id if row.rule == SPEND else None)
    return Void(number, row.seq, *names, row.topic or "", [row.event_id or ""], chosen.source, chosen.line, NOTHING)
