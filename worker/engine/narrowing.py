"""Finding the one trigger that PostgreSQL refuses in a batch: the batch is halved until only that one is left."""

from collections.abc import MutableMapping, Sequence

import structlog

from worker.engine.standard_decisions import REFUSED_BY_POSTGRESQL
from worker.errors import BatchRefused, OperatorNeeded
from worker.ledger.batch import Batch

_log = structlog.get_logger(__name__)


class Narrowing:
    """Says how many decisions the next batch may have; `failing` gets the trigger found, with the server's words.

    A refused batch of n triggers is found in about log2(n) refusals and as many commits, which hold what comes before.
    """

    def __init__(self, batch_size: int, failing: MutableMapping[object, str]) -> None:
        self.most = batch_size
        """How many decisions the next batch may have."""
        self._batch_size, self._failing = batch_size, failing
        self._through: int | None = None
        """The last decision of the smallest batch that was refused and not found out yet."""

    def refused(self, batch: Batch, triggers: Sequence[object], refusal: BatchRefused) -> None:
        """Note that a batch that decides these triggers was refused.

        Raises:
            OperatorNeeded: it is not for what an event holds: the batch decides none, or one that is parked already.
        """
        if len(triggers) > 1:
            decisions = len(batch.decisions)
            self.most, self._through = max(1, decisions // 2), batch.last_seq
            _log.warning("batch.refused", batch=batch.batch_no, decisions=decisions, why=refusal.why)
            return
        trigger = triggers[0] if triggers else None
        if trigger is None or trigger in self._failing:
            raise OperatorNeeded(str(refusal)) from refusal
        self._failing[trigger] = f"{REFUSED_BY_POSTGRESQL}{refusal.why}"
        _log.error("PostgreSQL refuses an event: its wallet or job is parked", trigger=str(trigger), why=refusal.why)

    def committed(self, batch: Batch) -> None:
        """Note that a batch was taken: what is left of the refused one is halved again; after it batches grow again."""
        if self._through is not None and batch.last_seq < self._through:
            self.most = max(1, (self._through - batch.last_seq) // 2)
        else:
            self._through = None
            self.most = min(self._batch_size, 2 * self.most)
