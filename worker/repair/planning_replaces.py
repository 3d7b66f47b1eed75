"""Deciding the replacements of a plan, the latest decision first; then settling again what that concerns."""

from collections.abc import Sequence

import msgspec

from worker.domain.model import JobId
from worker.futures import in_parts
from worker.proof.checks import Progress
from worker.repair.collecting import Collected
from worker.repair.overlay import Overlay
from worker.repair.plan import NOTHING, Replace
from worker.repair.planning_voids import AT_ONCE, PLANNING, Correcting, ProposalToSettle, settle_proposals
from worker.repair.replacements import Replacements, Wrong


async def plan_replaces(
    writer: Correcting, overlay: Overlay, replacements: Replacements, collected: Collected, progress: Progress
) -> list[Wrong]:
    """Replace the content of events, and note what is left for a person; returns those that may settle otherwise.

    Raises:
        Transient: the ledger is away.
    """
    for refused, events in replacements.left.items():
        collected.leave(refused, events)
    chosen = replacements.latest_first()
    progress.begin("replaced", len(chosen), "events")
    settled_again, business_time = [], (await overlay.tail()).business_time
    closings: dict[str, int] = {}
    for some in in_parts(chosen, AT_ONCE):
        await writer.look_ahead([_trigger(one, 0) for one in some])
        for one in some:
            trigger = _trigger(one, collected.next_number())
            if one.is_settled_again and trigger.job_id is not None and business_time is not None:
                if trigger.job_id not in closings:
                    job_id = JobId(trigger.job_id)
                    closings[job_id] = (await overlay.jobs([job_id]))[job_id].closings_due(business_time)
                trigger = msgspec.structs.replace(trigger, closings=closings[trigger.job_id])
            (result,) = await writer.try_corrections([trigger], PLANNING)
            collected.note_result(trigger, result)
            if result == "booked" and one.is_settled_again:
                settled_again.append(one)
            progress.advance(1)
    collected.require_room()
    return settled_again


async def settle_replaced(writer: Correcting, replaced: Sequence[Wrong], collected: Collected) -> None:
    """Settle the spends of these proposals again: their job may return what it did not, or the other way round.

    Raises:
        Transient: the ledger is away.
    """
    await settle_proposals(writer, [_to_settle(one) for one in replaced], collected)
    collected.require_room()


def _to_settle(one: Wrong) -> ProposalToSettle:
    row = one.row
    names = (row.freelancer_id or "", row.job_id or "", row.proposal_id or "")
    return ProposalToSettle(*names, one.source, one.line)


def _trigger(one: Wrong, number: int) -> Replace:
    row = one.row
    names = (row.freelancer_id or "", row.job_id, row.proposal_id)
    content = one.content.decode()
    return Replace(
        number, row.seq, *names, row.topic or "", [row.event_id or ""], content, one.source, one.line, NOTHING
    )
