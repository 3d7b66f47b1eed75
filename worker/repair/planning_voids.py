"""Deciding what a plan would void, over its overlay: the latest decision first."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from worker.domain.model import Cause, ProposalId
from worker.domain.rules.spends import SPEND
from worker.engine.correcting import Result
from worker.futures import in_parts
from worker.ledger.tables import DecisionRow
from worker.proof.checks import Progress
from worker.repair.collecting import Collected
from worker.repair.decision_selection import Chosen, DecisionSelection
from worker.repair.overlay import Overlay
from worker.repair.plan import NOTHING, Correction, Settle, Void
from worker.repair.selecting import JobToSettle
from worker.repair.told import OF_PROPOSALS
from worker.repair.voiding import OF_JOBS, Refused

PLANNING: Final = Cause(None, "command:plan")
"""The cause of corrections while they are planned; the command that decides them is not known yet."""
AT_ONCE: Final = 100
"""For how many corrections the ledger is asked together. Each is decided by itself, in the order of the plan."""
_CLAIMANTS: Final = Refused(
    "events that were refused because of what is voided",
    "their natural key or proposal id is free again, and a plan does not decide them again",
    "Those that are right: add them under new event ids, with `connects replay plan --add`",
)


class ProposalToSettle(NamedTuple):
    """A proposal whose spend is settled again; `source` and `line` are as of a `JobToSettle`."""

    freelancer_id: str
    job_id: str
    proposal_id: str
    source: str
    line: int


class ToSettle(NamedTuple):
    """What has to be settled again after voids: whole jobs, and proposals of others."""

    jobs: list[JobToSettle]
    proposals: list[ProposalToSettle]


class Correcting(Protocol):
    """What is asked of the writer."""

    async def look_ahead(self, corrections: Sequence[Correction]) -> None:
        """Have read together what these corrections will ask about, before each is tried."""
        ...

    async def try_corrections(self, corrections: Sequence[Correction], cause: Cause) -> list[Result]:
        """Decide corrections in order, and commit those that book something; returns what each came to."""
        ...


async def plan_voids(
    writer: Correcting, overlay: Overlay, selection: DecisionSelection, collected: Collected, progress: Progress
) -> ToSettle:
    """Void what was selected, and note what is left for a person; returns what has to be settled again.

    That of facts that were voided before is among it: not all that followed may be booked yet.

    Raises:
        Transient: the ledger is away.
    """
    for refused, events in selection.left.items():
        collected.leave(refused, events)
    chosen = selection.in_order()
    progress.begin("voided", len(chosen), "decisions")
    collected.nothing_to_void += selection.nothing_to_do
    jobs, proposals = dict[str, JobToSettle](), dict[tuple[str, str, str], ProposalToSettle]()
    for some in in_parts(chosen, AT_ONCE):
        await writer.look_ahead([_trigger(one, 0) for one in some])
        freed = list[DecisionRow]()
        for one in some:
            trigger = _trigger(one, collected.next_number())
            (result,) = await writer.try_corrections([trigger], PLANNING)
            collected.note_result(trigger, result)
            if trigger.job_id is not None and one.row.topic in OF_JOBS:
                jobs.setdefault(trigger.job_id, JobToSettle(trigger.job_id, False, one.source, one.line))
            elif one.row.topic in OF_PROPOSALS:
                names = (trigger.freelancer_id, trigger.job_id or "", trigger.proposal_id or "")
                proposals.setdefault(names, ProposalToSettle(*names, one.source, one.line))
            elif result == "booked":
                freed.append(one.row)
            progress.advance(1)
        if claimants := sum(await overlay.claimants(freed)):
            collected.leave(_CLAIMANTS, claimants)
    collected.require_room()
    return ToSettle(list(jobs.values()), list(proposals.values()))


async def settle_told(
    writer: Correcting, overlay: Overlay, told: Sequence[ProposalToSettle], collected: Collected
) -> None:
    """Settle proposals again whose withdrawals or outbids were voided, if the ledger had them before the plan.

    Raises:
        Transient: the ledger is away.
    """
    known = {spend.proposal_id: spend for spend in await overlay.spends([ProposalId(one.proposal_id) for one in told])}
    settled = list[ProposalToSettle]()
    for one in told:
        spend = known.get(ProposalId(one.proposal_id))
        is_its = spend is not None and (spend.freelancer_id, spend.job_id) == (one.freelancer_id, one.job_id)
        if spend is not None and is_its and spend.decision_seq <= overlay.through_seq:
            settled.append(one)
    await settle_proposals(writer, settled, collected)
    collected.require_room()


async def settle_proposals(writer: Correcting, proposals: Sequence[ProposalToSettle], collected: Collected) -> None:
    """Settle spends again, and note each by which that books something.

    Raises:
        Transient: the ledger is away.
    """
    for some in in_parts(proposals, AT_ONCE):
        await writer.look_ahead([_settle(one, 0) for one in some])
        for one in some:
            settle = _settle(one, collected.next_number())
            (result,) = await writer.try_corrections([settle], PLANNING)
            if result != "nothing-to-do":
                collected.note_result(settle, result)


def _settle(one: ProposalToSettle, number: int) -> Settle:
    names = (one.freelancer_id, one.job_id, one.proposal_id)
    return Settle(number, *names, False, "", [], one.source, one.line, NOTHING)


def _trigger(chosen: Chosen, number: int) -> Void:
    row: DecisionRow = chosen.row
    freelancer_id = "" if row.topic in OF_JOBS else row.freelancer_id or ""
    names_proposal = row.rule == SPEND or row.topic in OF_PROPOSALS
    names = (freelancer_id, row.job_id, row.proposal_id if names_proposal else None)
    return Void(number, row.seq, *names, row.topic or "", [row.event_id or ""], chosen.source, chosen.line, NOTHING)
