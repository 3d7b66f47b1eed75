"""Which rows of a restored ledger are published already, as `connects relay adopt` finds out."""

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from schemas.examples import EXAMPLES
from worker.errors import OperatorNeeded
from worker.kafka.output.messages import Message, RepublishedMessage, pack
from worker.kafka.output.outbox import OutboxRow
from worker.kafka.output.published_before import read_message
from worker.queries.adopt import Pending

TOPIC = "wallet-updated"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def message(version: int, delta: int = 1) -> bytes:
    return json.dumps({**EXAMPLES[TOPIC], "freelancer_id": "f-1", "version": version, "delta": delta}).encode()


class Outbox:
    """The rows of an outbox, each with the messages of these versions; the first row is 4."""

    def __init__(self, *rows: tuple[int, ...]) -> None:
        self._rows = [
            OutboxRow(seq, uuid4(), NOW, pack([Message(TOPIC, b"f-1", message(one), "", "") for one in versions]))
            for seq, versions in enumerate(rows, start=4)
        ]

    def add(self, *messages: Message) -> None:
        self._rows.append(OutboxRow(self._rows[-1].seq + 1, uuid4(), NOW, pack(messages)))

    async def outbox_rows(self, after_seq: int, _limit_bytes: int) -> list[OutboxRow]:
        return [row for row in self._rows if row.seq > after_seq][:1]

    async def outbox_state(self) -> tuple[int, int]:
        raise NotImplementedError

    async def batch_uid_at(self, seq: int) -> None:
        raise NotImplementedError

    async def still_mine(self, epoch: int) -> bool:
        raise NotImplementedError


async def seen(outbox: Outbox, *versions: int) -> Pending:
    pending = Pending(3)
    await pending.load(outbox)
    for version in versions:
        pending.see(*read_message(TOPIC, message(version)), "the topic")
    return pending


@pytest.mark.parametrize(
    ("rows", "versions", "expected"),
    [
        ((), (), (3, 0)),
        (((1, 2), (3,)), (1, 2, 3), (5, 0)),
        (((1, 2), (3,)), (1, 2), (4, 1)),
        (((1, 2), (3,)), (), (3, 2)),
        (((1,), (), (2,)), (1, 2), (6, 0)),
        (((1,), (), (2,)), (1,), (5, 1)),
        (((1,), (2,), ()), (1,), (4, 1)),
    ],
)
async def test_the_published_rows_are_the_first_ones(
    rows: tuple[tuple[int, ...], ...], versions: tuple[int, ...], expected: tuple[int, int]
) -> None:
    assert (await seen(Outbox(*rows), *versions)).published() == expected


@pytest.mark.parametrize(("rows", "versions"), [(((1, 2),), (1,)), (((1,), (2,)), (2,))])
async def test_a_row_in_part_or_out_of_turn_is_refused(
    rows: tuple[tuple[int, ...], ...], versions: tuple[int, ...]
) -> None:
    pending = await seen(Outbox(*rows), *versions)
    with pytest.raises(OperatorNeeded, match="decided in this ledger since it was restored"):
        pending.published()


async def test_a_row_that_is_published_once_more_is_told_from_the_first_time() -> None:
    outbox = Outbox((1, 2))
    outbox.add(RepublishedMessage(TOPIC, b"f-1", message(1), "", "", republished="command:7"))
    pending = await seen(outbox, 1, 2)
    assert pending.published() == (4, 1), "its messages are in the topic, but not by this command"
    pending.see(*read_message(TOPIC, message(1)), "the topic", "command:7")
    assert pending.published() == (5, 0)


async def test_what_was_made_otherwise_since_the_restore_is_refused() -> None:
    pending = await seen(Outbox((1,)))
    with pytest.raises(OperatorNeeded, match=r"version 1 of f-1 .* at the topic, .* another delta: .*Restore it again"):
        pending.see(*read_message(TOPIC, message(1, delta=2)), "the topic")
