"""Holding back what was published before the ledger was restored from a backup (docs/decisions/0038).

Each batch is compared before it is committed: what was published and is made again with the same content goes out of
its outbox row, and the batch writes that it was made. Where the content differs nothing of the batch is written.
"""

from typing import Final

import structlog

from worker.errors import Transient
from worker.kafka.output.messages import unpack, without
from worker.kafka.output.published_before import Named, PublishedBefore, differing, read_message
from worker.ledger.batch import Batch
from worker.ledger.store import Store

_log: Final = structlog.get_logger(__name__)


class DiffersFromPublished(Transient):
    """A change that is made again is not what was published of it. It is tried again: the cause may be removed."""

    problem = "differs-from-published"


class HoldingBack:
    """Of one writer. `open`, then `hold_back` from each batch before it is committed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.not_made_again = 0
        """How many messages were published before the restore and are not made again yet."""

    async def open(self) -> None:
        """Ask the ledger what is left to be made again."""
        self.not_made_again = await self._store.not_made_again()

    async def hold_back(self, batch: Batch) -> None:
        """Take out of a batch's outbox row what was published before.

        Raises:
            DiffersFromPublished: something was published with another content; the batch must not be written.
        """
        if batch.outbox is None or not self.not_made_again:
            return
        made = [read_message(message.topic, message.value) for message in unpack(batch.outbox)]
        before = await self._store.published_before([named for named, _ in made])
        if not before:
            return
        for named, content in made:
            if named in before and (fields := differing(named.topic, before[named].content, content)):
                raise DiffersFromPublished(_in_words(batch, named, before[named], fields))
        batch.held_back = [named for named, _ in made if named in before]
        batch.outbox = without(batch.outbox, lambda message: read_message(message.topic, message.value)[0] in before)

    def committed(self, batch: Batch) -> None:
        """A batch is written, with what it made again."""
        self.not_made_again -= len(batch.held_back)
        if batch.held_back and not self.not_made_again:
            _log.info("relay.made_again", batch=batch.batch_no)


def _in_words(batch: Batch, named: Named, before: PublishedBefore, fields: list[str]) -> str:
    return (
        f"{named} was published before the database was restored, at partition {before.partition} offset "
        f"{before.offset}, and is made again with another {', '.join(fields)}.{_now(batch, named)} Nothing of it was "
        "booked or published, and nothing behind it is decided"
    )


def _now(batch: Batch, named: Named) -> str:
    """What a change of a wallet would be now, and by what."""
    wanted = (named.freelancer_id, named.what) if named.topic == "wallet-updated" else None
    change = next((row for row in batch.changes if (row.freelancer_id, str(row.version)) == wanted), None)
    if change is None:
        return ""
    cause = next(row for row in batch.decisions if row.seq == change.decision_seq)
    place = "" if cause.offset is None else f", partition {cause.partition} offset {cause.offset}"
    by = f"{cause.topic or cause.kind} {cause.event_id}{place}"
    return f" Now it would be {change.delta:+d} Connects, to a balance of {change.balance_after}, by {by}."
