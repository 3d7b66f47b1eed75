"""Whether a transaction that a partition never saw end was committed: the marker says it, or else the outputs do."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from worker.errors import OperatorNeeded
from worker.kafka.output.flush import source_of
from worker.kafka.output.marker import MARKER_TOPIC, Marker, marker_key, read_marker, read_settled_marker
from worker.kafka.output.open_transactions import Look, OpenRecord
from worker.kafka.output.outbox import RelayDatabase
from worker.kafka.output.place import Place, named
from worker.kafka.output.published_messages import event_id_of, event_ids_after, last_published, source_of_record


@dataclass(frozen=True, slots=True)
class _Hanging:
    """What hangs at one place: the event ids of messages of this ledger, and the outbox rows that its markers name."""

    event_ids: frozenset[str]
    marker_seqs: frozenset[int]


class Hanging:
    """Of one ledger's relays. A relay sends nothing to a partition before the transaction before it is settled there.

    So all that hangs of this ledger belongs to one transaction in each partition, and that was committed if its marker
    was. `kafka` holds aiokafka's connection arguments.
    """

    def __init__(self, kafka: Mapping[str, Any], prefix: str, ledger_id: UUID, database: RelayDatabase) -> None:
        self._kafka, self._prefix, self._ledger_id = kafka, prefix, ledger_id
        self._database, self._marker_topic = database, prefix + MARKER_TOPIC

    async def was_committed(self, look: Look) -> dict[Place, bool]:
        """Of each place with records of the relay's that hang there: whether their transaction was committed.

        Raises:
            OperatorNeeded: what hangs at one place was committed in part.
            Transient, KafkaError, OSError: database or broker are away.
        """
        ours = {place: self._ours(records) for place, records in look.own.items()}
        published = await self._published_through(ours, look)
        unpublished = await self._unpublished({i for hanging in ours.values() for i in hanging.event_ids}, published)
        return {place: _is_published(place, hanging, published, unpublished) for place, hanging in ours.items()}

    def _ours(self, records: Collection[OpenRecord]) -> _Hanging:
        seqs = {
            Marker.decode(record.value).seq
            for record in records
            if record.topic == self._marker_topic and record.key == marker_key(self._ledger_id) and record.value
        }
        source = source_of(self._ledger_id)
        ids = {event_id_of(record) for record in records if source_of_record(record) == source}
        return _Hanging(frozenset(ids), frozenset(seqs))

    async def _published_through(self, ours: Mapping[Place, _Hanging], look: Look) -> int:
        """The last outbox row that is published, counting those whose transaction was committed and hangs."""
        _, dropped_through = await self._database.outbox_state()
        open_marker = max((seq for hanging in ours.values() for seq in hanging.marker_seqs), default=0)
        if not open_marker and (marker := await read_marker(self._kafka, self._marker_topic, self._ledger_id)):
            return max(marker.seq, dropped_through)
        await look.until_others_are_over()
        settled = await read_settled_marker(self._kafka, self._marker_topic, self._ledger_id)
        known = max(0 if settled is None else settled.seq, dropped_through)
        shown = await self._shown_through(known, open_marker or math.inf)
        return known if shown == known else max(shown, open_marker)

    async def _shown_through(self, known: int, through: float) -> int:
        """The last row after `known` and up to `through` of which a message is there to read; `known` if there is none.

        Nothing was sent after the transaction that hangs: where it was committed, its messages are the last ones.
        """
        first = await self._database.outbox_rows(known, 1)
        if not first or first[0].seq > through:
            return known
        last = await last_published(self._kafka, self._prefix, self._ledger_id, first[0].recorded_at)
        shown = known
        async for seq, ids in event_ids_after(self._database, known):
            if seq > through:
                break
            if ids & last:
                shown = seq
        return shown

    async def _unpublished(self, ids: Collection[str], published: int) -> set[str]:
        """Those of the event ids that are in outbox rows after the published ones."""
        found: set[str] = set()
        async for _, of_row in event_ids_after(self._database, published):
            found |= of_row.intersection(ids)
        return found


def _is_published(place: Place, hanging: _Hanging, published: int, unpublished: Collection[str]) -> bool:
    verdicts = {seq <= published for seq in hanging.marker_seqs} | {
        event_id not in unpublished for event_id in hanging.event_ids
    }
    if len(verdicts) > 1:
        raise OperatorNeeded(
            f"{named([place])} holds a transaction of this ledger's relays that never ended there, and "
            "of which a part is published: neither committing nor aborting it is right. Give the figures of "
            "`connects relay show` to the developers."
        )
    return verdicts == {True}
