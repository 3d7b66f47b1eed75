"""What was decided first on each event id that the next records have, to compare repeats with."""

from collections.abc import Sequence
from typing import Final

from worker.kafka.records import InputRecord
from worker.ledger.event_key import seen_key
from worker.ledger.store import FirstDecision, Store

MOST_SEEN: Final = 8_000
MOST_SEEN_BYTES: Final = 16 * 1024 * 1024


class FirstDecisions:
    """First decisions on event ids: those that the ledger has, and those of batches that may not be committed yet."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recent: dict[str, tuple[int, InputRecord]] = {}
        """Those of batches that may not be committed yet (and some that are), by event key."""
        self._recent_bytes = 0
        self._replaced: dict[str, tuple[tuple[int, bytes], ...]] = {}
        """The content that events were given by corrections since, by event key; what was loaded may lack it."""
        self._long_ago: dict[str, FirstDecision] = {}
        """Those found in the ledger on the event ids of the records that were loaded for last."""

    async def load(self, records: Sequence[InputRecord]) -> None:
        """Look up the event ids of these records, and give each record its event key.

        Raises:
            Transient: the database is away.
        """
        keys = []
        for record in records:
            if record.event is not None:
                record.event_key = key = seen_key(record.source.topic, record.event.event_id)
                if key not in self._recent:
                    keys.append(key)
        found = await self._store.seen(keys) if keys else {}
        decisions = await self._store.first_decisions(list(found.values())) if found else {}
        self._long_ago = {key: decisions[seq] for key, seq in found.items()}

    def note(self, seq: int, record: InputRecord) -> None:
        """Note the first decision on a record's event id."""
        self._recent[record.event_key] = (seq, record)
        self._recent_bytes += len(record.value or b"")

    def note_replaced(self, event_key: str, seq: int, content: bytes) -> None:
        """Note that a correction gave an event other content."""
        self._replaced[event_key] = (*self._replaced.get(event_key, ()), (seq, content))
        self._recent_bytes += len(content)

    def on(self, event_key: str) -> FirstDecision | None:
        """The first decision on the event id of a record that was loaded for; None: it was never seen."""
        first, recent = self._long_ago.get(event_key), self._recent.get(event_key)
        if recent is not None:
            seq, record = recent
            event_id = record.event.event_id if record.event is not None else ""
            first = FirstDecision(seq, *_place(record), record.value, event_id)
        replaced = self._replaced.get(event_key)
        if first is None or replaced is None:
            return first
        return first._replace(replaced=tuple(sorted({*first.replaced, *replaced})))

    @property
    def are_too_many(self) -> bool:
        """Whether some should be forgotten before more records are loaded for."""
        return len(self._recent) > MOST_SEEN or self._recent_bytes > MOST_SEEN_BYTES

    def forget(self, committed_through: int) -> None:
        """Let go of those that are in the ledger for sure, up to that decision, if there are too many."""
        if self.are_too_many:
            self._recent = {key: first for key, first in self._recent.items() if first[0] > committed_through}
            self._replaced = {key: all_ for key, all_ in self._replaced.items() if all_[-1][0] > committed_through}
            self._recent_bytes = sum(len(record.value or b"") for _, record in self._recent.values())


def _place(record: InputRecord) -> tuple[str, int | None, int | None, int | None]:
    if record.is_added:
        return record.source.topic, None, None, None
    return record.source.topic, record.incarnation, record.source.partition, record.offset
