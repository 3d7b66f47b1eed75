"""Doing what the clock has to do: settlements, expiries and cycle starts, one appointment at a time."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from worker.domain.booking import lot_that_expires
from worker.domain.decide import cycle_cause, decide_cycle, decide_expiry, decide_settlement, expiry_cause
from worker.domain.decisions import Decision, Subject
from worker.domain.model import Cause, Closure, FreelancerId, Job, JobId, LotId, ProposalId, Spend, midnight
from worker.domain.triggers import CycleDue, ExpiryDue, SettlementDue
from worker.engine import answers
from worker.engine.desk import LARGE, Desk, closure_of
from worker.engine.memory import AT_ONCE, Memory
from worker.errors import Bug
from worker.ledger.store import CYCLE, EXPIRY, LATE_SETTLEMENT, Appointment, ParkedKey


class ClockWork:
    """Decides what became due. A job's closure is worked off in parts: nobody waits for all of a large one."""

    def __init__(self, desk: Desk, memory: Memory, grace: timedelta) -> None:
        self._desk, self._memory, self._grace = desk, memory, grace
        self.at_once = AT_ONCE
        """How many settlements of a job are decided before the batch may be closed."""
        self._cursors: dict[int, int] = {}
        """How many of its job's proposals each closure under way is past."""

    async def do(self, appointment: Appointment, business_time: datetime | None) -> bool:
        """Do one appointment, or the next part of it; True when it is done.

        Raises:
            Bug: a rule failed.
            Transient: the database is away.
        """
        if appointment.rank in {EXPIRY, CYCLE}:
            freelancer_id = FreelancerId(appointment.subject)
            if freelancer_id not in self._desk.books.wallets:
                await self._memory.load_wallets([freelancer_id], business_time)
            if appointment.rank == EXPIRY:
                self._expire(appointment)
                return True
            membership = self._desk.books.memberships.get(freelancer_id)
            if membership is None or membership.upgrade or membership.renewal or freelancer_id in self._desk.books.held:
                await self._memory.load_memberships([freelancer_id])  # its charges are forgotten by themselves
            if self._desk.size_of(freelancer_id) > LARGE:
                await asyncio.to_thread(self._start_cycle, appointment)
            else:
                self._start_cycle(appointment)
            return True
        job_id = JobId(appointment.subject)
        await self._memory.load_jobs([job_id])
        job = self._desk.books.jobs[job_id]
        closure = closure_of(job, appointment.seq)
        if appointment.rank == LATE_SETTLEMENT:
            await self._memory.load_whole_spends([ProposalId(appointment.key)], business_time)
            await self._settle(closure, self._desk.books.spends[ProposalId(appointment.key)], appointment.due_at)
            self._desk.books.touched.jobs[job.job_id] = job
            self._desk.draft.batch.due_done.append(("late-settlement", f"{appointment.seq}/{appointment.key}"))
            return True
        return await self._settle_some(job, closure, appointment, business_time)

    async def _settle_some(
        self, job: Job, closure: Closure, appointment: Appointment, business_time: datetime | None
    ) -> bool:
        if closure.settled:
            return True  # by this batch, which the ledger does not know yet
        place = self._cursors.get(closure.decision_seq, 0)
        some = job.proposal_ids[place : place + self.at_once]
        await self._memory.load_whole_spends(some, business_time)
        for proposal_id in some:
            spend = self._desk.books.spends[proposal_id]
            if spend.decision_seq > closure.settled_through:
                if spend.occurred_at <= closure.closed_at:
                    await self._settle(closure, spend, appointment.due_at)
                closure.settled_through = spend.decision_seq
        self._desk.books.touched.closures[closure.decision_seq] = closure
        self._desk.books.touched.jobs[job.job_id] = job
        self._cursors[closure.decision_seq] = place + len(some)
        if place + len(some) < len(job.proposal_ids):
            return False
        self._cursors.pop(closure.decision_seq)
        closure.settled = True
        self._desk.draft.batch.due_done.append(("settlement", str(closure.decision_seq)))
        return True

    async def _settle(self, closure: Closure, spend: Spend, due_at: datetime) -> None:
        """Settle one spend; one with very many draws in a thread, beside the event loop."""
        if sum(len(line.draws) for line in spend.lines) > LARGE:
            await asyncio.to_thread(self._settle_now, closure, spend, due_at)
        else:
            self._settle_now(closure, spend, due_at)

    def _settle_now(self, closure: Closure, spend: Spend, due_at: datetime) -> None:
        seq = self._desk.draft.next_seq
        identity = (closure.decision_seq, spend.proposal_id)
        self._desk.draft.triggers.append(identity)
        key = ParkedKey("wallet", spend.freelancer_id)
        if key in self._desk.parked or identity in self._desk.failing:
            subject = Subject(spend.freelancer_id, spend.job_id, spend.proposal_id)
            error = self._desk.failing.get(identity)
            decision = answers.parked(seq, "settlement", closure.cause, None, subject, key, error)
            decision.occurred_at, decision.business_time = closure.closed_at, due_at
            self._desk.park(decision, key, error)
            return
        try:
            due = SettlementDue(closure, spend, due_at, seq)
            decision = decide_settlement(self._desk.books, due, self._desk.policies)
        except Exception as error:
            where = f"settlement of job {closure.job_id}, proposal {spend.proposal_id}"
            raise self._desk.fails(identity, where, error) from error
        self._desk.book([decision])

    def _expire(self, appointment: Appointment) -> None:
        wallet = self._desk.books.wallets[FreelancerId(appointment.subject)]
        lot = lot_that_expires(wallet.lots, appointment.due_at - self._grace, LotId(appointment.key))
        if lot is None:
            return  # nothing remains in it
        self._desk.draft.triggers.append(expiry_cause(lot.lot_id))
        if self._waits(appointment, lambda: expiry_cause(lot.lot_id), lot.expires_at):
            return
        try:
            due = ExpiryDue(lot, appointment.due_at, self._desk.draft.next_seq)
            decision = decide_expiry(self._desk.books, due, self._desk.policies)
        except Exception as error:
            raise self._bug(expiry_cause(lot.lot_id), error) from error
        self._desk.book([decision])

    def _start_cycle(self, appointment: Appointment) -> None:
        freelancer_id = FreelancerId(appointment.subject)
        membership = self._desk.books.memberships[freelancer_id]
        day = membership.next_renewal
        if day is None or midnight(day) + self._grace != appointment.due_at:
            return  # its cycle has been moved since
        self._desk.draft.triggers.append(cycle_cause(freelancer_id, day))
        if self._waits(appointment, lambda: cycle_cause(freelancer_id, day), midnight(day)):
            return
        try:
            due = CycleDue(membership, appointment.due_at, self._desk.draft.next_seq)
            decisions = self._decide_cycle(due)
        except Exception as error:
            raise self._bug(cycle_cause(freelancer_id, day), error) from error
        self._desk.book(decisions)

    def _decide_cycle(self, due: CycleDue) -> list[Decision]:
        day = due.membership.next_renewal
        decisions = decide_cycle(self._desk.books, due, self._desk.policies)
        if due.membership.next_renewal == day:
            raise AssertionError("the next cycle does not start later than this one")
        return decisions

    def _bug(self, cause: Cause, error: Exception) -> Bug:
        """Note that the rule for this instant of the clock fails."""
        return self._desk.fails(cause, cause.event_id or "", error)

    def _waits(self, appointment: Appointment, cause_of: Callable[[], Cause], occurred_at: datetime) -> bool:
        """Whether this instant of the clock waits for a stopped wallet, or stops it; once, it is told so."""
        if not self._desk.parked and not self._desk.failing:
            return False
        key, cause = ParkedKey("wallet", appointment.subject), cause_of()
        if key not in self._desk.parked and cause not in self._desk.failing:
            return False
        event_id = cause.event_id or ""
        if event_id not in self._desk.parked.get(key, ()):
            error = self._desk.failing.get(cause)
            subject = Subject(FreelancerId(appointment.subject))
            decision = answers.parked(self._desk.draft.next_seq, "clock", cause, None, subject, key, error)
            decision.occurred_at, decision.business_time = occurred_at, appointment.due_at
            self._desk.park(decision, key, error)
            self._desk.parked[key].add(event_id)
        return True
