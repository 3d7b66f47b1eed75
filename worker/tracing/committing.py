"""Commits that make the spans of what they commit, and give messages the context of the decision that made them."""

import time
from collections.abc import Callable
from datetime import datetime

from worker.domain.decisions import Decision
from worker.domain.model import FreelancerId
from worker.engine.commit import Commits, Committed
from worker.engine.open_batch import OpenBatch
from worker.kafka.output.messages import TracedMessage
from worker.kafka.records import InputRecord
from worker.ledger.batch import Batch, Conditions
from worker.ledger.store import Store, Tail
from worker.tracing.slices import harmless
from worker.tracing.spans import Deciding, DecisionSpans
from worker.tracing.trace_context import written


class TracedBatch(OpenBatch):
    """An open batch whose messages have a trace context: their outbox row has it, whoever publishes that."""

    def __init__(
        self,
        tail: Tail,
        recorded_at: datetime,
        conditions: Conditions,
        last_decisions: dict[FreelancerId, int],
        spans: DecisionSpans,
    ) -> None:
        super().__init__(tail, recorded_at, conditions, last_decisions)
        self._spans = spans
        self.decided: list[Deciding] = []
        """The triggers that it has decisions on, in order."""

    def add(self, decision: Decision) -> None:
        """Write a decision down with its messages, and begin its span."""
        first = len(self._messages)
        super().add(decision)
        deciding, context = self._spans.decided(decision)
        if not self.decided or self.decided[-1] is not deciding:
            self.decided.append(deciding)
        if first < len(self._messages):
            trace = written(context)
            made = self._messages[first:]
            self._messages[first:] = [TracedMessage(m.topic, m.key, m.value, m.ce_id, m.ce_time, *trace) for m in made]


class TracedCommits(Commits):
    """Commits one batch after the other, as those without tracing do; all of the spans that decisions have is here."""

    def __init__(
        self,
        store: Store,
        conditions: Conditions,
        now: Callable[[], datetime],
        on_commit: Callable[[Committed], None],
        *,
        spans: DecisionSpans,
    ) -> None:
        super().__init__(store, conditions, now, on_commit)
        self._spans = spans

    async def open(self) -> None:
        """Go on from where the ledger ends; what was being decided is decided again."""
        self._spans.end()
        await super().open()

    def count(self, record: InputRecord) -> None:
        """Note a record that is about to be decided."""
        super().count(record)
        self._spans.begin(record)

    def keep(self, record: InputRecord) -> None:
        """Keep a decided record until its batch is committed."""
        self._spans.end()
        super().keep(record)

    def _new_batch(self) -> OpenBatch:
        return TracedBatch(self.tail, self._now(), self._conditions, self.last_decisions, self._spans)

    async def _commit(
        self, batch: Batch, open_batch: OpenBatch, records: int, seconds: tuple[float, float, float]
    ) -> None:
        since_ns = time.time_ns()
        await super()._commit(batch, open_batch, records, seconds)
        if isinstance(open_batch, TracedBatch):
            with harmless():
                await self._spans.committed(open_batch.decided, batch, since_ns)
