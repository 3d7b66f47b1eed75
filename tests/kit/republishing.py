"""Messages of wallet-updated that are made again from a ledger, beside those that were published first."""

import json

from worker.engine.wallet_messages import WALLET_UPDATED, message_again
from worker.kafka.output.messages import Message, RepublishedMessage, unpack
from worker.ledger.memory_store import MemoryStore
from worker.ledger.postgres import PostgresStore

_EVERYTHING = 2**31 - 1


async def published_first(store: MemoryStore | PostgresStore) -> list[Message]:
    """Every message of wallet-updated in the outbox, in order; nothing of it may have been dropped."""
    found, after = list[Message](), 0
    while rows := await store.outbox_rows(after, _EVERYTHING):
        found += [one for row in rows for one in unpack(row.messages) if one.topic == WALLET_UPDATED]
        after = rows[-1].seq
    return found


async def made_again(store: MemoryStore | PostgresStore, names: list[str]) -> list[RepublishedMessage]:
    """Every message about these wallets, made again; of each in order."""
    recorded = await store.recorded_changes([(name, 1) for name in names], _EVERYTHING)
    return [message_again(one, "command:x") for one in recorded]


async def same_when_made_again(store: MemoryStore | PostgresStore) -> int:
    """Require each message that was published to be the same when it is made again; returns how many there are."""
    first = await published_first(store)
    wallets = sorted({json.loads(one.value)["freelancer_id"] for one in first})
    again = {one.ce_id: one for one in await made_again(store, wallets)} if wallets else {}
    for one in first:
        other = again[one.ce_id]
        assert (other.key, other.value, other.ce_time) == (one.key, one.value, one.ce_time)
    assert len(again) == len(first)
    return len(first)
