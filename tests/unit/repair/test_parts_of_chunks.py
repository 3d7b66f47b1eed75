"""A chunk of a plan is worked off in parts: live events come in between, and nothing is lost or done twice."""

from itertools import count
from uuid import UUID

import msgspec
import pytest

from tests.kit import replaying, voiding
from tests.kit.correcting import adjusted
from tests.kit.deciding import Deciding
from tests.kit.policies import policies
from tests.kit.replaying import Came, balance, became, begin, bought, leading, nothing_is_found, planned, registered
from worker.engine import chunk_work, writer
from worker.engine.commands import Answer, Command, CommandRunner
from worker.errors import BatchRefused
from worker.ledger.batch import Batch
from worker.ledger.memory_store import MemoryStore
from worker.repair.plan import Trigger

BOOK = policies()
WALLETS = [f"f-{number}" for number in range(1, 41)]


def command_of(triggers: list[Trigger], number: int = 1) -> Command:
    asked = {"plan": replaying.PLAN, "give_only": False, "triggers": triggers}
    return Command(UUID(int=number), "replay-decide", msgspec.json.decode(msgspec.json.encode(asked)), "ana", "a test")


@pytest.fixture
async def triggers(decides: Deciding, came: Came, store: MemoryStore) -> list[Trigger]:
    """Voids of a purchase of each wallet, and one of a second purchase of the first."""
    await came(*(bought(name, f"b-{name}") for name in WALLETS), bought("f-1", "b-again", 5))
    seqs = voiding.seqs_of(store, *(f"e-b-{name}" for name in WALLETS), "e-b-again")
    made = await voiding.plan(store, BOOK, seqs)
    await begin(decides, BOOK, len(made.triggers))
    return made.triggers


async def in_parts(decides: Deciding, command: Command) -> tuple[Answer, int]:
    parts = 1
    while (answer := await CommandRunner(decides.writer).go_on(command, 0.0)) is None:
        parts += 1
    return answer, parts


async def test_events_come_between_two_parts(
    decides: Deciding, came: Came, store: MemoryStore, triggers: list[Trigger]
) -> None:
    command = command_of(triggers)
    assert await CommandRunner(decides.writer).go_on(command, 0.0) is None
    first = len(became(store))
    await came(registered("f-live"))
    assert balance(store, "f-live") == 40
    assert 0 < len(became(store)) < len(triggers), "it is committed with the events, or before them"
    answer, _ = await in_parts(decides, command)
    assert (answer.reason, answer.told["booked"]) == ("plan-applied", len(triggers))
    assert {outcome for _, outcome, _ in became(store)} == {"booked"}
    assert first <= len(became(store)) == len(triggers)
    assert [balance(store, name) for name in WALLETS] == [0] * len(WALLETS)
    await nothing_is_found(store, 1, 3)


async def test_a_leader_that_ends_between_two_parts_leaves_the_rest_to_the_next(
    decides: Deciding, store: MemoryStore, triggers: list[Trigger]
) -> None:
    command = command_of(triggers)
    assert await CommandRunner(decides.writer).go_on(command, 0.0) is None
    await decides.restart()
    answer, _ = await in_parts(decides, command)
    assert (answer.reason, answer.told["booked"]) == ("plan-applied", len(triggers))
    corrected = [row.follows for row in store.tables.decisions if row.rule == "correct.void"]
    assert len(corrected) == len(set(corrected)) == len(triggers)
    await nothing_is_found(store, 1, 3)


async def test_a_chunk_that_takes_long_is_answered_and_asked_for_again(
    decides: Deciding, store: MemoryStore, triggers: list[Trigger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked does not wait for ever, nor does a `replay stop` behind it."""
    monkeypatch.setattr(writer, "_MOST_SECONDS_OF_A_CHUNK", 0.0)
    answer, parts = await in_parts(decides, command_of(triggers))
    assert (answer.reason, parts) == ("plan-interrupted", 1)
    booked = answer.told["booked"]
    assert len(became(store)) == booked == len(triggers) - int(str(answer.told["left"]))
    monkeypatch.undo()
    answer, _ = await in_parts(decides, command_of(triggers, 2))
    assert (answer.reason, answer.told["booked"]) == ("plan-applied", len(triggers))


async def test_voids_of_different_wallets_share_a_batch_and_of_one_they_do_not(
    decides: Deciding, store: MemoryStore, triggers: list[Trigger]
) -> None:
    await CommandRunner(decides.writer).run(command_of(triggers))
    voids = [row for row in store.tables.decisions if row.rule == "correct.void"]
    assert len({row.batch_no for row in voids}) == 11, "a batch has four decisions here"
    assert len({row.batch_no for row in voids if row.freelancer_id == "f-1"}) == 2


async def test_one_that_deviates_leaves_the_others_of_its_batch_as_they_are(
    decides: Deciding, came: Came, store: MemoryStore, triggers: list[Trigger]
) -> None:
    await came(adjusted("f-7", "a-7", -9))
    answer = await CommandRunner(decides.writer).run(command_of(triggers))
    assert (answer.told["booked"], answer.told["deviated"]) == (len(triggers) - 1, 1)
    (number,) = (number for number, outcome, _ in became(store) if outcome == "deviated")
    assert "e-b-f-7" in msgspec.to_builtins(triggers[number - 1])["corrects"]
    voids = [row for row in store.tables.decisions if row.rule == "correct.void"]
    assert len({row.batch_no for row in voids}) <= 13
    await nothing_is_found(store, 1, 3)


async def test_a_batch_that_moved_much_leaves_the_rest_to_the_next(
    decides: Deciding, store: MemoryStore, triggers: list[Trigger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_work, "_MOST_MOVEMENTS", 2)
    answer = await CommandRunner(decides.writer).run(command_of(triggers))
    assert answer.told["booked"] == len(triggers)
    voids = [row for row in store.tables.decisions if row.rule == "correct.void"]
    assert len({row.batch_no for row in voids}) == 21, "each of them moves one lot"


class Refusing(MemoryStore):
    """Refuses batches that have one trigger of a plan, as PostgreSQL might."""

    refuses = 0

    async def commit(self, batch: Batch, epoch: int) -> None:
        if any(row.number == self.refuses and row.outcome == "booked" for row in batch.replayed):
            raise BatchRefused("refused", "for a test")
        await super().commit(batch, epoch)


@pytest.mark.parametrize("kind", ["void", "add"])
async def test_one_that_postgresql_refuses_is_found_however_many_events_come_between(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that are committed between two parts let batches grow again, beyond the one that was refused."""
    asked = count(1)
    monkeypatch.setattr(chunk_work, "_MOST_TOGETHER", 4)
    monkeypatch.setattr(chunk_work, "_is_over", lambda _: kind == "void" or next(asked) % 4 == 0)
    store = Refusing()
    async with leading(store, BOOK, batch_size=16) as decides:
        came = Came(decides)
        purchases = [bought(name, f"b-{name}") for name in WALLETS[:10]]
        if kind == "void":
            await came(*purchases)
            seqs = voiding.seqs_of(store, *(f"e-b-{name}" for name in WALLETS[:10]))
            triggers: list[Trigger] = (await voiding.plan(store, BOOK, seqs)).triggers
        else:
            await came(registered("f-first"))
            triggers = [*await planned(store, BOOK, purchases)]
        await begin(decides, BOOK, len(triggers))
        store.refuses, command = 7, command_of(triggers)
        for part in range(30):
            if (answer := await CommandRunner(decides.writer).go_on(command, 0.0)) is not None:
                break
            for number in range(20):
                await came(registered(f"f-live-{part}-{number}"))
        assert answer is not None, "the refused trigger is not found"
        assert (answer.told["booked"], answer.told["deviated"]) == (len(triggers) - 1, 1)
        assert (7, "deviated", "refused-by-postgresql") in became(store)
