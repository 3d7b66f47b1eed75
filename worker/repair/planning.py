"""Deciding what a plan would bring: by the engine itself, over a ledger that it cannot change."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, NamedTuple

from worker.domain.model import FreelancerId, JobId, Spend
from worker.domain.policy import PolicyBook
from worker.engine.writer import Writer
from worker.futures import in_parts
from worker.kafka.input.reading import RecordReader
from worker.kafka.records import InputRecord
from worker.proof.checks import Progress
from worker.repair.candidates import Candidate, Candidates, read_record
from worker.repair.collecting import Collected
from worker.repair.decision_selection import DecisionSelection
from worker.repair.overlay import Overlay
from worker.repair.plan import NOTHING, Settle, Trigger
from worker.repair.planning_decides import ToDecide, plan_decides
from worker.repair.planning_replaces import plan_replaces, settle_replaced
from worker.repair.planning_undos import Booked, plan_undos
from worker.repair.planning_voids import AT_ONCE, PLANNING, ProposalToSettle, plan_voids, settle_told
from worker.repair.replacements import Replacements, Wrong
from worker.repair.selecting import JobToSettle
from worker.repair.summary import Summary, Wallet
from worker.repair.voiding import Refused

_AT_ONCE: Final = 1_000
_SLICE_SECONDS: Final = 1.0


class Ground(NamedTuple):
    """What a plan is decided by: the policies and settings of the ledger, and how its events are read."""

    policies: PolicyBook
    grace: timedelta
    max_clock_skew: timedelta
    reader: RecordReader
    progress: Progress
    now: datetime


class Planned(NamedTuple):
    """A plan before it is written: its triggers in order, the wallets that they name by id, and its numbers."""

    triggers: list[Trigger]
    wallets: list[Wallet]
    summary: Summary


async def plan_all(
    overlay: Overlay,
    found: Candidates,
    ground: Ground,
    jobs: Sequence[JobToSettle] = (),
    selection: DecisionSelection | None = None,
    decides: ToDecide | None = None,
    replacements: Replacements | None = None,
    booked: Booked | None = None,
    left: Mapping[Refused, int] = MappingProxyType({}),
) -> Planned:
    """Decide events that never came over an overlay that is open, then settle jobs again, then let the clock work.

    Before all that, what is selected is voided, and then events get their right content, the latest decision first;
    before the jobs, amounts are amended. What another plan `booked` is undone before all else. What was `left` where
    jobs were selected is left for a person.
    Each is decided at the ledger's business time, an event as the late event that it is, and no clock work is done
    between them. What events bring is due one grace after business time at the latest, if it is due already: a
    settlement.

    Raises:
        UsageError: there are more triggers than a plan may have.
        Transient: the ledger is away.
    """
    candidates = found.in_order()
    collected = Collected(candidates)
    writer = await _writer(overlay, ground, collected)
    business_time = writer.business_time
    for refused, events in left.items():
        collected.leave(refused, events)
    if booked is not None:
        await plan_undos(writer, overlay, booked, collected, ground.progress)
    told = list[ProposalToSettle]()
    if selection is not None:
        voided = await plan_voids(writer, overlay, selection, collected, ground.progress)
        jobs = _each_once(jobs, voided.jobs)
        settled = {job.job_id for job in jobs}
        told = [one for one in voided.proposals if one.job_id not in settled]
    replaced = list[Wrong]()
    if replacements is not None:
        replaced = await plan_replaces(writer, overlay, replacements, collected, ground.progress)
    ground.progress.begin("decided", len(candidates), "events")
    for some in in_parts(candidates, _AT_ONCE):
        await writer.decide([_record(one, ground.reader, business_time) for one in some])
        ground.progress.advance(len(some))
    await writer.flush()
    await writer.settle_down()
    collected.require_room()
    if decides is not None and business_time is not None:
        await plan_decides(writer, overlay, decides, collected, ground.progress)
    if business_time is not None:
        await settle_replaced(writer, replaced, collected)
        await settle_told(writer, overlay, told, collected)
        await _settle_again(writer, overlay, jobs, collected, ground.progress)
    collected.clock_begins()
    if business_time is not None:
        await let_the_clock_work(writer, business_time + ground.grace)
    balances = await _balances(overlay, collected.unchanged)
    summary = collected.summary([found] if replacements is None else [found, replacements])
    return Planned(collected.triggers, list(collected.wallets(balances)), summary)


async def _settle_again(
    writer: Writer, overlay: Overlay, jobs: Sequence[JobToSettle], collected: Collected, progress: Progress
) -> None:
    """Settle the spends of these jobs again, some at a time: a job may have very many.

    What the plan itself adds is left to the schedule, which settles it one grace later.
    """
    if jobs:
        progress.begin("settled again", len(jobs), "jobs")
    for number, job in enumerate(jobs):
        if number % AT_ONCE == 0:
            await _look_ahead(writer, overlay, jobs[number : number + AT_ONCE])
        for names in in_parts(await overlay.proposals_before(JobId(job.job_id)), _AT_ONCE):
            spends = {spend.proposal_id: spend for spend in await overlay.spends(names)}
            corrections = [_settle(job, spends[name], collected.next_number()) for name in names]
            results = await writer.try_corrections(corrections, PLANNING)
            for correction, result in zip(corrections, results, strict=True):
                collected.note_result(correction, result)
            collected.require_room()
        progress.advance(1)


async def _look_ahead(writer: Writer, overlay: Overlay, jobs: Sequence[JobToSettle]) -> None:
    """Have read together what settling these jobs asks about; of very many proposals the first ones."""
    await overlay.jobs([JobId(job.job_id) for job in jobs])
    of = [(job, name) for job in jobs for name in await overlay.proposals_before(JobId(job.job_id))][:_AT_ONCE]
    spends = {spend.proposal_id: spend for spend in await overlay.spends([name for _, name in of])}
    await writer.look_ahead([_settle(job, spends[name], 0) for job, name in of])


def _settle(job: JobToSettle, spend: Spend, number: int) -> Settle:
    """A trigger that is not planned yet: what it corrects and brings is known when it is decided."""
    named = (spend.freelancer_id, spend.job_id, spend.proposal_id)
    return Settle(number, *named, job.late_hires, "", [], job.source, job.line, NOTHING)


def _each_once(jobs: Sequence[JobToSettle], others: Sequence[JobToSettle]) -> list[JobToSettle]:
    """These jobs, then those of the others that are not among them."""
    named = {job.job_id for job in jobs}
    return [*jobs, *(job for job in others if job.job_id not in named)]


async def _writer(overlay: Overlay, ground: Ground, collected: Collected) -> Writer:
    """The writer of live events, over the overlay.

    Its wall clock shows one grace after business time: then it decides events as they come, and leaves the clock's work
    for later.
    """
    business_time = (await overlay.tail()).business_time
    now = ground.now if business_time is None else business_time + ground.grace
    writer = Writer(
        overlay,
        overlay.lead(),
        ground.policies,
        ground.grace,
        ground.max_clock_skew,
        lambda: now,
        collected.take,
        _AT_ONCE,
    )
    await writer.open()
    return writer


async def let_the_clock_work(writer: Writer, through: datetime) -> None:
    """Do what the clock has due up to that instant, and commit it.

    Raises:
        Transient: the ledger is away.
    """
    while not await writer.pass_time(through, seconds=_SLICE_SECONDS):
        pass
    await writer.flush()
    await writer.settle_down()


def _record(one: Candidate, reader: RecordReader, business_time: datetime | None) -> InputRecord:
    record = read_record(reader, one.topic, one.value, one.number)
    record.business_time = business_time
    return record


async def _balances(overlay: Overlay, names: Sequence[str]) -> dict[str, int]:
    balances: dict[str, int] = {}
    for some in in_parts(names, _AT_ONCE):
        found = await overlay.wallets([FreelancerId(name) for name in some], None)
        balances.update((name, wallet.balance) for name, wallet in found.items())
    return balances
