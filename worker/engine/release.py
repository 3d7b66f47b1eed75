"""Deciding what waited behind a stopped wallet or job, once an operator releases it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import asyncpg

from schemas.reading import read_event
from worker.domain.booking import lot_that_expires
from worker.domain.books import Books
from worker.domain.decide import cycle_cause, decide_cycle, decide_event, decide_expiry, decide_settlement
from worker.domain.decisions import Decision
from worker.domain.model import FreelancerId, JobId, LotId, ProposalId
from worker.domain.policy import PolicyBook
from worker.domain.triggers import CycleDue, ExpiryDue, Received, SettlementDue
from worker.ledger.rows import read_cause
from worker.ledger.store import ParkedKey
from worker.stream.records import InputRecord, TopicPartition

if TYPE_CHECKING:
    from datetime import datetime

    from worker.engine.memory import Memory


class Release:
    """One wallet's or job's waiting triggers, decided in ledger order as follow-ups."""

    def __init__(self, memory: "Memory", policies: PolicyBook, business_time: "datetime | None") -> None:
        self._memory = memory
        self._books: Books = memory.books
        self._policies = policies
        self._business_time = business_time

    async def prepare(self, waiting: Sequence[asyncpg.Record]) -> None:
        """Load what the waiting triggers ask about."""
        records = [_as_record(row) for row in waiting if row["kind"] == "first"]
        await self._memory.prepare(records, [], self._business_time)
        await self._memory.load_jobs({JobId(row["closure_job"]) for row in waiting if row["closure_job"]})
        settled = [ProposalId(row["proposal_id"]) for row in waiting if row["kind"] == "settlement"]
        await self._memory.load_whole_spends(settled, self._business_time)

    async def decide(self, row: asyncpg.Record, key: ParkedKey, seq: int) -> list[Decision]:
        """Decide one waiting trigger; nothing, if what was released before made it void (it emptied the lot)."""
        if row["kind"] == "settlement":
            decided = [self._settle(row, seq)]
        elif row["kind"] == "clock" and row["event_id"].startswith("cycle:"):
            decided = await self._start_cycle(row, key, seq)
        elif row["kind"] == "clock":
            decided = await self._expire(row, key, seq)
        else:
            event = read_event(row["topic"], row["payload"])
            trigger = Received(event, row["topic"], read_cause(row), self._business_time, seq)
            return decide_event(self._books, trigger, self._policies, None, follows=row["seq"])
        for decision in decided:
            if decision.kind != "follow-up":  # an event that was held follows its own decision
                decision.kind, decision.follows = "follow-up", row["seq"]
        return decided

    def _settle(self, row: asyncpg.Record, seq: int) -> Decision:
        job = self._books.jobs[row["closure_job"]]
        closure = next(known for known in job.closures if known.decision_seq == row["closure_seq"])
        due = SettlementDue(closure, self._books.spends[row["proposal_id"]], row["business_time"], seq)
        return decide_settlement(self._books, due, self._policies)

    async def _expire(self, row: asyncpg.Record, key: ParkedKey, seq: int) -> list[Decision]:
        freelancer_id = FreelancerId(key.key)
        await self._memory.load_wallets([freelancer_id], self._business_time)
        lot_id = LotId(row["event_id"].removeprefix("expiry:"))
        lot = lot_that_expires(self._books.wallets[freelancer_id].lots, row["occurred_at"], lot_id)
        if lot is None:
            return []
        return [decide_expiry(self._books, ExpiryDue(lot, row["business_time"], seq), self._policies)]

    async def _start_cycle(self, row: asyncpg.Record, key: ParkedKey, seq: int) -> list[Decision]:
        freelancer_id = FreelancerId(key.key)
        await self._memory.load_wallets([freelancer_id], self._business_time)
        await self._memory.load_memberships([freelancer_id])
        membership = self._books.memberships[freelancer_id]
        day = membership.next_renewal
        if day is None or cycle_cause(freelancer_id, day).event_id != row["event_id"]:
            return []
        return decide_cycle(self._books, CycleDue(membership, row["business_time"], seq), self._policies)


def _as_record(row: asyncpg.Record) -> InputRecord:
    source = TopicPartition(row["topic"], row["partition"])
    event = read_event(row["topic"], row["payload"])
    return InputRecord(
        source, row["incarnation"], row["offset"], 0, None, row["payload"], (), event, None, None, row["business_time"]
    )
