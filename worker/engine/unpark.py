"""Deciding what waited behind a stopped wallet or job, once an operator releases it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from schemas.reading import read_event
from worker.domain.booking import lot_that_expires
from worker.domain.decide import cycle_cause, decide_cycle, decide_event, decide_expiry, decide_settlement
from worker.domain.decisions import Decision
from worker.domain.model import FreelancerId, LotId
from worker.domain.policy import PolicyBook
from worker.domain.state import State
from worker.domain.triggers import CycleDue, ExpiryDue, Received, SettlementDue
from worker.kafka.records import InputRecord, TopicPartition
from worker.ledger.parked import ParkedKey, ParkedTrigger

if TYPE_CHECKING:
    from datetime import datetime

    from worker.engine.loading.cache import Cache

Value = TypeVar("Value")


class Unpark:
    """One wallet's or job's waiting triggers, decided in ledger order as follow-ups."""

    def __init__(self, cache: "Cache", policies: PolicyBook, business_time: "datetime | None") -> None:
        self._cache = cache
        self._state: State = cache.state
        self._policies = policies
        self._business_time = business_time

    async def prepare(self, waiting: Sequence[ParkedTrigger]) -> None:
        """Load what the waiting triggers ask about."""
        records = [_as_record(one) for one in waiting if one.kind == "first"]
        await self._cache.prepare(records, [], self._business_time)
        await self._cache.load_jobs({one.closure_job for one in waiting if one.closure_job})
        settled = [one.proposal_id for one in waiting if one.kind == "settlement" and one.proposal_id]
        await self._cache.load_whole_spends(settled, self._business_time)

    async def decide(self, waiting: ParkedTrigger, key: ParkedKey, seq: int) -> list[Decision]:
        """Decide one waiting trigger; nothing, if what was released before made it void (it emptied the lot)."""
        event_id = _there(waiting.cause.event_id)
        if waiting.kind == "settlement":
            decided = self._settle(waiting, seq)
        elif waiting.kind == "clock" and event_id.startswith("cycle:"):
            decided = await self._start_cycle(waiting, key, seq)
        elif waiting.kind == "clock":
            decided = await self._expire(waiting, key, seq)
        else:
            topic = _there(waiting.cause.topic)
            event = read_event(topic, waiting.payload)
            trigger = Received(event, topic, waiting.cause, self._business_time, seq)
            return decide_event(self._state, trigger, self._policies, None, follows=waiting.seq)
        return as_follow_ups(decided, waiting.seq)

    def _settle(self, waiting: ParkedTrigger, seq: int) -> list[Decision]:
        """The settlement that waited; nothing, if its closure was voided since."""
        job = self._state.jobs[_there(waiting.closure_job)]
        closure = next(known for known in job.closures if known.decision_seq == waiting.closure_seq)
        if closure.voided:
            return []
        spend = self._state.spends[_there(waiting.proposal_id)]
        due = SettlementDue(closure, spend, _there(waiting.business_time), seq)
        return [decide_settlement(self._state, due, self._policies)]

    async def _expire(self, waiting: ParkedTrigger, key: ParkedKey, seq: int) -> list[Decision]:
        freelancer_id = FreelancerId(key.key)
        await self._cache.load_wallets([freelancer_id], self._business_time)
        lot_id = LotId(_there(waiting.cause.event_id).removeprefix("expiry:"))
        lot = lot_that_expires(self._state.wallets[freelancer_id].lots, _there(waiting.occurred_at), lot_id)
        if lot is None:
            return []
        return [decide_expiry(self._state, ExpiryDue(lot, _there(waiting.business_time), seq), self._policies)]

    async def _start_cycle(self, waiting: ParkedTrigger, key: ParkedKey, seq: int) -> list[Decision]:
        freelancer_id = FreelancerId(key.key)
        await self._cache.load_wallets([freelancer_id], self._business_time)
        await self._cache.load_memberships([freelancer_id])
        membership = self._state.memberships[freelancer_id]
        day = membership.next_renewal
        if day is None or cycle_cause(freelancer_id, day).event_id != waiting.cause.event_id:
            return []
        return decide_cycle(self._state, CycleDue(membership, _there(waiting.business_time), seq), self._policies)


def as_follow_ups(decisions: list[Decision], waited: int) -> list[Decision]:
    """What the clock decides when it is released follows the decision that parked it."""
    for decision in decisions:
        if decision.kind != "follow-up":  # an event that was held follows its own decision
            decision.kind, decision.follows = "follow-up", waited
    return decisions


def _as_record(waiting: ParkedTrigger) -> InputRecord:
    cause, payload = waiting.cause, waiting.payload
    source = TopicPartition(_there(cause.topic), _there(cause.partition))
    event = read_event(source.topic, payload)
    place = (source, _there(cause.incarnation), _there(cause.offset))
    return InputRecord(*place, 0, None, payload, (), event, None, None, waiting.business_time)


def _there(value: Value | None) -> Value:
    """What a waiting trigger of its kind always has."""
    if value is None:
        raise AssertionError("a parked trigger lacks what its kind has")
    return value
