"""The command `outputs-republish`: messages of wallet-updated are published once more, as they were.

They are made again from the ledger, and go into the outbox row of the command's own batch: the relay publishes them as
it does all others, in order and exactly once (docs/decisions/0041).
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from worker.domain.decisions import Fact
from worker.engine.command_arguments import WrongArguments, read_arguments
from worker.engine.replay_commands import Replied
from worker.engine.wallet_messages import message_again
from worker.kafka.output.messages import RepublishedMessage
from worker.ledger.recorded_change import RecordedSize
from worker.ledger.store import Store
from worker.ledger.tables import ChangeRow

MOST_WALLETS: Final = 1_000
"""How many wallets one command may name."""
MOST_MESSAGES: Final = 5_000
"""How many messages one command publishes: they are one outbox row, and one Kafka transaction."""
MOST_BYTES: Final = 16 * 1024 * 1024
"""Of what the changes of one command moved: there is no end to the lots of one change."""


class Republishing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a command carries: of each wallet the version from which on its messages are published, to the newest.

    `run`, `number`, `selection` and `is_last` are for whoever goes on after it (`worker/queries/republish.py`).
    """

    run: str
    number: int
    selection: str
    wallets: list[tuple[str, int]]
    is_last: bool


class RepublishingWriter(Protocol):
    """What this command asks of the writer."""

    @property
    def not_made_again(self) -> int:
        """How many messages were published before the ledger was restored and are not made again yet."""
        ...

    async def republish(self, wallets: Sequence[tuple[str, int]], command: str) -> "Republished":
        """Have the next batch publish the newest messages of these wallets once more, each from a version on."""
        ...


class Republished(NamedTuple):
    """How much is published once more: up to the change `through`; `is_whole`: that is all that was asked for."""

    messages: int
    freelancers: int
    through: ChangeRow | None
    is_whole: bool


async def republish(writer: RepublishingWriter, arguments: dict[str, Any], command: str) -> Replied:
    """Publish messages once more, in the batch of the command's decision.

    Raises:
        WrongArguments: the arguments are wrong.
        Transient: the database is away.
    """
    asked = read_arguments(arguments, Republishing)
    if not 1 <= len(asked.wallets) <= MOST_WALLETS:
        raise WrongArguments(f"a command names 1 to {MOST_WALLETS} wallets, not {len(asked.wallets)}")
    if len({name for name, _ in asked.wallets}) < len(asked.wallets):
        raise WrongArguments("a wallet is named twice")
    facts: dict[str, Fact] = {"run": asked.run, "number": asked.number}
    if writer.not_made_again:
        return Replied("declined", "outputs-not-made-again", {**facts, "messages": writer.not_made_again})
    done = await writer.republish(asked.wallets, command)
    facts |= {"messages": done.messages, "freelancers": done.freelancers, "is_whole": done.is_whole}
    if done.through is not None:
        facts |= {"last_freelancer": done.through.freelancer_id, "last_version": done.through.version}
    return Replied("applied", "outputs-republished", facts)


async def messages_again(
    store: Store, wallets: Sequence[tuple[str, int]], command: str
) -> tuple[list[RepublishedMessage], Republished]:
    """The messages of these wallets as they were, each from a version on: as many as one command publishes.

    Raises:
        Transient: the database is away.
    """
    found = await store.recorded_sizes(wallets, MOST_MESSAGES + 1)
    taken = await store.recorded_changes(wallets, whole_wallets(found, MOST_MESSAGES, MOST_BYTES))
    messages = await asyncio.to_thread(lambda: [message_again(one, command) for one in taken])
    freelancers = len({one.change.freelancer_id for one in taken})
    return messages, Republished(len(taken), freelancers, taken[-1].change if taken else None, len(taken) == len(found))


def whole_wallets(found: Sequence[RecordedSize], most: int, most_bytes: int) -> int:
    """How many of these changes, so many at most and of so many bytes, are of whole wallets.

    The last message of each then is its newest; but for a wallet that has more by itself. At least one.
    """
    count = held = 0
    for one in found[:most]:
        if count and held + one.bytes > most_bytes:
            break
        count, held = count + 1, held + one.bytes
    if count == len(found):
        return count
    cut = found[count].freelancer_id
    whole = next(place for place, one in enumerate(found) if one.freelancer_id == cut)
    return whole or count
