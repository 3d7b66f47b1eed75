"""The command `outputs-republish`: whole wallets up to their newest message, in the outbox row of its own batch."""

import json
from collections.abc import AsyncIterator
from operator import attrgetter
from typing import Any
from uuid import uuid4

import pytest

from tests.kit.deciding import Deciding, deciding
from tests.kit.policies import policies
from tests.kit.replaying import Came, bought
from tests.kit.republishing import made_again, published_first
from worker.engine.commands import Answer, Command, CommandRunner
from worker.engine.republishing import whole_wallets
from worker.kafka.output.messages import unpack_whole
from worker.ledger.memory_store import MemoryStore

BOOK = policies()
MANY = 10**9
ARGUMENTS: dict[str, Any] = {"run": "r", "number": 1, "selection": "s", "is_last": True}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def decides(store: MemoryStore) -> AsyncIterator[Deciding]:
    async with deciding(store, BOOK) as decides:
        yield decides


@pytest.fixture
def came(decides: Deciding) -> Came:
    return Came(decides)


async def republish(decides: Deciding, **arguments: object) -> Answer:
    command = Command(uuid4(), "outputs-republish", {**ARGUMENTS, **arguments}, "ana", "lost")
    return await CommandRunner(decides.writer).run(command)


async def test_messages_are_published_once_more_behind_all_that_was_decided(
    decides: Deciding, store: MemoryStore, came: Came
) -> None:
    await came(*(bought(who, f"b-{who}-{number}") for number in range(3) for who in ("f-1", "f-2")))
    answer = await republish(decides, wallets=[["f-2", 2], ["f-1", 3]])
    assert (answer.outcome, answer.reason) == ("applied", "outputs-republished")
    assert (answer.told["messages"], answer.told["freelancers"], answer.told["is_whole"]) == (3, 2, True)
    rows = await store.outbox_rows(0, 10**9)
    last = unpack_whole(rows[-1].messages)
    told = [(json.loads(one.value)["freelancer_id"], json.loads(one.value)["version"]) for one in last]
    assert told == [("f-2", 2), ("f-2", 3), ("f-1", 3)]
    assert {one.republished for one in last} == {max(store.tables.decisions, key=attrgetter("seq")).event_id}
    first = {one.ce_id: one.value for row in rows[:-1] for one in unpack_whole(row.messages)}
    assert all(first[one.ce_id] == one.value for one in last)
    assert len(await published_first(store)) == 9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"wallets": []}, "1 to 1000 wallets"),
        ({"wallets": [["f-1", 1], ["f-1", 2]]}, "named twice"),
        ({"wallets": [["f-1", "one"]]}, "int"),
        ({"wallets": [["f-1", 1]], "more": 1}, "more"),
    ],
)
async def test_wrong_arguments_are_declined(decides: Deciding, arguments: dict[str, Any], words: str) -> None:
    answer = await republish(decides, **arguments)
    assert (answer.outcome, answer.reason) == ("declined", "wrong-arguments")
    assert words in str(answer.told["detail"])


async def test_a_part_is_of_whole_wallets_unless_one_is_too_large(store: MemoryStore, came: Came) -> None:
    changes = {"f-1": 2, "f-2": 3, "f-3": 1}
    await came(*(bought(who, f"b-{who}-{number}") for who in changes for number in range(changes[who])))
    assert len(await made_again(store, ["f-1", "f-2", "f-3"])) == 6

    async def taken(most: int, most_bytes: int, *wallets: tuple[str, int]) -> list[tuple[str, int]]:
        found = await store.recorded_sizes(wallets, most + 1)
        count = whole_wallets(found, most, most_bytes)
        taken = await store.recorded_changes(wallets, count)
        return [(one.change.freelancer_id, one.change.version) for one in taken]

    all_of_them = (("f-1", 1), ("f-2", 1), ("f-3", 1))
    assert len(await taken(6, MANY, *all_of_them)) == 6
    assert len(await taken(5, MANY, *all_of_them)) == 5
    for most in (2, 3, 4):
        assert await taken(most, MANY, *all_of_them) == [("f-1", 1), ("f-1", 2)]
    assert await taken(2, MANY, ("f-2", 1), ("f-3", 1)) == [("f-2", 1), ("f-2", 2)], "in parts: it is too large"
    size = (await store.recorded_sizes([("f-1", 1)], 1))[0].bytes
    assert await taken(6, 4 * size, *all_of_them) == [("f-1", 1), ("f-1", 2)]
    assert await taken(6, 1, *all_of_them) == [("f-1", 1)], "one at the least"
    assert await taken(6, MANY, ("f-9", 1)) == []
