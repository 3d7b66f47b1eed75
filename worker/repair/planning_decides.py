"""Planning corrections of amounts, over the overlay of a plan, in order of time."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from worker.domain.rules.decides import ToAmend
from worker.proof.checks import Progress
from worker.repair.collecting import Collected
from worker.repair.decision_selection import Chosen, DecisionSelection
from worker.repair.judging import AS_BOOKED, NOT_COMPARED, OVER, UNDER_A_POLICY, Judging
from worker.repair.overlay import Overlay
from worker.repair.plan import NOTHING, Decide
from worker.repair.planning_voids import PLANNING, Correcting
from worker.repair.voiding import Refused

_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_AT_ONCE: Final = 200


class ToDecide(NamedTuple):
    """What was selected and judged, before it is decided on the wallets as they are now."""

    chosen: Sequence[Chosen]
    left: Mapping[Refused, int]
    nothing_to_do: int
    """How many selected decisions gave nothing that could be amended."""
    judging: Judging
    amended: Collection[int]
    """The decisions that corrections amended before."""


def to_decide(selection: DecisionSelection, judging: Judging, amended: Collection[int]) -> ToDecide:
    """Put together what was selected, and the verdicts about it."""
    by_time = sorted(selection.in_order(), key=lambda one: (one.row.occurred_at or _NEVER, one.row.seq))
    return ToDecide(by_time, selection.left, selection.nothing_to_do, judging, amended)


async def plan_decides(
    writer: Correcting, overlay: Overlay, wanted: ToDecide, collected: Collected, progress: Progress
) -> None:
    """Amend what the right rules give another amount for, and note what is left for a person.

    Raises:
        UsageError: there are more triggers than a plan may have.
        Transient: the ledger is away.
    """
    for refused, events in wanted.left.items():
        collected.leave(refused, events)
    collected.nothing_to_amend += wanted.nothing_to_do
    progress.begin("amended", len(wanted.chosen), "decisions")
    triggers: list[Decide] = []
    for number, one in enumerate(wanted.chosen):
        if number % _AT_ONCE == 0:
            await _take(overlay, wanted, wanted.chosen[number : number + _AT_ONCE])
        seq = one.row.seq
        what = wanted.judging.found.get(seq)
        refused_seq = wanted.judging.left.get(seq) or (None if seq in wanted.judging.judged else NOT_COMPARED)
        if what is not None and refused_seq is None:
            refused_seq = await _refusal(overlay, what)
        if refused_seq is not None:
            collected.leave(refused_seq, 1)
        elif what is None:
            collected.nothing_to_amend += 1
        else:
            triggers.append(_trigger(one, what, collected.next_number()))
        if len(triggers) == _AT_ONCE:
            await _try(writer, triggers, collected)
            triggers = []
        progress.advance(1)
    await _try(writer, triggers, collected)


async def _take(overlay: Overlay, wanted: ToDecide, some: Sequence[Chosen]) -> None:
    """Read together what is asked of the snapshot about some decisions that may be amended."""
    found = [what for one in some if (what := wanted.judging.found.get(one.row.seq)) is not None]
    await overlay.take_standing([(what.seq, what.proposal_id) for what in found])


async def _refusal(overlay: Overlay, what: ToAmend) -> Refused | None:
    """Why a verdict that differs from what stands is not booked; None: it is, or it does not differ.

    What a corrected policy says stands until another one says otherwise. One that gives what was booked first does not:
    it is a copy of the ledger's policy, as far as this decision goes.
    """
    standing = await overlay.standing(what.seq, what.proposal_id)
    if not standing.less(what):
        return None
    if standing.is_over:
        return None if what.proposal_id is None else OVER
    if standing.policy is None or what.policy == standing.policy:
        return None
    if what.policy is None:
        return UNDER_A_POLICY
    return AS_BOOKED if what.verdict == what.booked else None


async def _try(writer: Correcting, triggers: Sequence[Decide], collected: Collected) -> None:
    if not triggers:
        return
    await writer.look_ahead(triggers)
    results = await writer.try_corrections(triggers, PLANNING)
    for trigger, result in zip(triggers, results, strict=True):
        collected.note_result(trigger, result)
    collected.require_room()


def _trigger(chosen: Chosen, what: ToAmend, number: int) -> Decide:
    row = chosen.row
    return Decide(number, what, row.topic or "", [row.event_id or ""], chosen.source, chosen.line, NOTHING)
