"""Doing what the clock has to do: settlements, expiries and cycle starts, one appointment at a time."""

import asyncio
from collections.abc import Callable
from datetime import date, datetime, timedelta

from worker.domain.booking import lot_that_expires
from worker.domain.decide import cycle_cause, decide_cycle, decide_expiry, decide_settlement, expiry_cause
from worker.domain.decisions import Decision, Subject
from worker.domain.model import (
    Cause,
    Closure,
    FreelancerId,
    Job,
    JobId,
    Lot,
    LotId,
    Membership,
    ProposalId,
    Spend,
    Wallet,
    midnight,
)
from worker.domain.triggers import CycleDue, ExpiryDue, SettlementDue
from worker.engine import standard_decisions
from worker.engine.batch_builder import LARGE, BatchBuilder, closure_of
from worker.engine.loading.cache import AT_ONCE, Cache
from worker.errors import Bug
from worker.ledger.parked import ParkedKey
from worker.ledger.store import CYCLE, EXPIRY, LATE_SETTLEMENT, Appointment
from worker.ledger.tables import DueKey
from worker.words.explanations import worded


class ClockWork:
    """Decides what became due. A job's closure is worked off in parts: nobody waits for all of a large one."""

    def __init__(self, builder: BatchBuilder, cache: Cache, grace: timedelta) -> None:
        self._builder, self._cache, self._grace = builder, cache, grace
        self.at_once = AT_ONCE
        """How many settlements of a job are decided before the batch may be closed."""
        self._cursors: dict[int, int] = {}
        """How many of its job's proposals each closure under way is past."""

    def forget_places(self) -> None:
        """Begin closures that are under way from their first proposal again: a job has lost one that was voided."""
        self._cursors.clear()

    async def do(self, appointment: Appointment, business_time: datetime | None) -> bool:
        """Do one appointment, or the next part of it; True when it is done.

        Raises:
            Bug: a rule failed.
            Transient: the database is away.
        """
        if appointment.rank in {EXPIRY, CYCLE}:
            freelancer_id = FreelancerId(appointment.subject)
            if freelancer_id not in self._builder.state.wallets:
                await self._cache.load_wallets([freelancer_id], business_time)
            if appointment.rank == EXPIRY:
                self._expire(appointment)
                return True
            membership = self._builder.state.memberships.get(freelancer_id)
            if (
                membership is None
                or membership.upgrade
                or membership.renewal
                or freelancer_id in self._builder.state.held
            ):
                await self._cache.load_memberships([freelancer_id])  # its charges are evicted separately
            if self._builder.size_of(freelancer_id) > LARGE:
                await asyncio.to_thread(self._start_cycle, appointment)
            else:
                self._start_cycle(appointment)
            return True
        job_id = JobId(appointment.subject)
        await self._cache.load_jobs([job_id])
        job = self._builder.state.jobs[job_id]
        closure = closure_of(job, appointment.seq)
        if appointment.rank == LATE_SETTLEMENT:
            await self._cache.load_whole_spends([ProposalId(appointment.key)], business_time)
            spend = self._builder.state.spends.get(ProposalId(appointment.key))
            if spend is not None and not closure.voided:  # else one of them was voided since
                await self._settle(closure, spend, appointment.due_at)
            self._builder.state.changed.jobs[job.job_id] = job
            self._builder.open_batch.batch.due_done.append(
                DueKey("late-settlement", f"{appointment.seq}/{appointment.key}")
            )
            return True
        return await self._settle_some(job, closure, appointment, business_time)

    async def _settle_some(
        self, job: Job, closure: Closure, appointment: Appointment, business_time: datetime | None
    ) -> bool:
        if closure.settled:
            return True  # by this batch, which the ledger does not know yet
        place = self._cursors.get(closure.decision_seq, 0)
        some = job.proposal_ids[place : place + self.at_once]
        await self._cache.load_whole_spends(some, business_time)
        for proposal_id in some:
            spend = self._builder.state.spends[proposal_id]
            if spend.decision_seq > closure.settled_through:
                if closure.concerns(spend.occurred_at):
                    await self._settle(closure, spend, appointment.due_at)
                closure.settled_through = spend.decision_seq
        self._builder.state.changed.closures[closure.decision_seq] = closure
        self._builder.state.changed.jobs[job.job_id] = job
        self._cursors[closure.decision_seq] = place + len(some)
        done = place + len(some) >= len(job.proposal_ids)
        open_batch = self._builder.open_batch
        open_batch.batch.closures_worked.append(
            (closure.decision_seq, open_batch.next_seq, closure.settled_through, int(done))
        )
        if not done:
            return False
        self._cursors.pop(closure.decision_seq)
        closure.settled = True
        open_batch.batch.due_done.append(DueKey("settlement", str(closure.decision_seq)))
        return True

    async def _settle(self, closure: Closure, spend: Spend, due_at: datetime) -> None:
        """Settle one spend; one with very many draws in a thread, beside the event loop."""
        if sum(len(line.draws) for line in spend.lines) > LARGE:
            await asyncio.to_thread(self._settle_now, closure, spend, due_at)
        else:
            self._settle_now(closure, spend, due_at)

    def _settle_now(self, closure: Closure, spend: Spend, due_at: datetime) -> None:
        seq = self._builder.open_batch.next_seq
        identity = (closure.decision_seq, spend.proposal_id)
        self._builder.open_batch.triggers.append(identity)
        key = ParkedKey("wallet", spend.freelancer_id)
        if key in self._builder.parked or identity in self._builder.failing:
            subject = Subject.of_spend(spend)
            error = self._builder.failing.get(identity)
            decision = standard_decisions.parked(seq, "settlement", closure.cause, None, subject, key, error)
            decision.occurred_at, decision.business_time = closure.closed_at, due_at
            self._builder.park(decision, key, error)
            return
        try:
            due = SettlementDue(closure, spend, due_at, seq)
            decisions = worded([decide_settlement(self._builder.state, due, self._builder.policies)])
        except Exception as error:
            where = f"settlement of job {closure.job_id}, proposal {spend.proposal_id}"
            raise self._builder.fails(identity, where, error) from error
        self._builder.book(decisions)

    def _expire(self, appointment: Appointment) -> None:
        wallet = self._builder.state.wallets[FreelancerId(appointment.subject)]
        lot = lot_due(wallet, LotId(appointment.key), appointment.due_at, self._grace)
        if lot is None:
            return  # nothing remains in it
        self._builder.open_batch.triggers.append(expiry_cause(lot.lot_id))
        if self._waits(appointment, lambda: expiry_cause(lot.lot_id), lot.expires_at):
            return
        try:
            due = ExpiryDue(lot, appointment.due_at, self._builder.open_batch.next_seq)
            decisions = worded([decide_expiry(self._builder.state, due, self._builder.policies)])
        except Exception as error:
            raise self._bug(expiry_cause(lot.lot_id), error) from error
        self._builder.book(decisions)

    def _start_cycle(self, appointment: Appointment) -> None:
        freelancer_id = FreelancerId(appointment.subject)
        membership = self._builder.state.memberships[freelancer_id]
        day = cycle_due(membership, appointment.due_at, self._grace)
        if day is None:
            return  # its cycle has been moved since
        self._builder.open_batch.triggers.append(cycle_cause(freelancer_id, day))
        if self._waits(appointment, lambda: cycle_cause(freelancer_id, day), midnight(day)):
            return
        try:
            due = CycleDue(membership, appointment.due_at, self._builder.open_batch.next_seq)
            decisions = worded(self._decide_cycle(due))
        except Exception as error:
            raise self._bug(cycle_cause(freelancer_id, day), error) from error
        self._builder.book(decisions)

    def _decide_cycle(self, due: CycleDue) -> list[Decision]:
        day = due.membership.next_renewal
        decisions = decide_cycle(self._builder.state, due, self._builder.policies)
        if due.membership.next_renewal == day:
            raise AssertionError("the next cycle does not start later than this one")
        return decisions

    def _bug(self, cause: Cause, error: Exception) -> Bug:
        """Note that the rule for this instant of the clock fails."""
        return self._builder.fails(cause, cause.event_id or "", error)

    def _waits(self, appointment: Appointment, cause_of: Callable[[], Cause], occurred_at: datetime) -> bool:
        """Park this clock event if its wallet is parked or its rule fails; return whether it was parked."""
        if not self._builder.parked and not self._builder.failing:
            return False
        key, cause = ParkedKey("wallet", appointment.subject), cause_of()
        if key not in self._builder.parked and cause not in self._builder.failing:
            return False
        event_id = cause.event_id or ""
        if event_id not in self._builder.parked.get(key, ()):
            error = self._builder.failing.get(cause)
            subject = Subject(FreelancerId(appointment.subject))
            seq = self._builder.open_batch.next_seq
            decision = standard_decisions.parked(seq, "clock", cause, None, subject, key, error)
            decision.occurred_at, decision.business_time = occurred_at, appointment.due_at
            self._builder.park(decision, key, error)
            self._builder.parked[key].add(event_id)
        return True


# What the clock asks before it does anything; the recorded clock work is held to the same conditions (worker/proof).


def lot_due(wallet: Wallet, lot_id: LotId, due_at: datetime, grace: timedelta) -> Lot | None:
    """The lot of that id, if something remains in it and its expiry is due at that instant."""
    return lot_that_expires(wallet.lots, due_at - grace, lot_id)


def cycle_due(membership: Membership, due_at: datetime, grace: timedelta) -> date | None:
    """The day of the next cycle start, if that is due at that instant; None: the cycle was moved since."""
    day = membership.next_renewal
    return None if day is None or midnight(day) + grace != due_at else day
