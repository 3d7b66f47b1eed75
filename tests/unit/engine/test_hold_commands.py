"""What the writer answers to `hold` and `resume`, and what it keeps of them."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from tests.kit.deciding import Deciding, as_read, deciding
from tests.kit.policies import policies
from worker.domain.decisions import Subject
from worker.engine.commands import Answer, Command, CommandRunner
from worker.errors import BatchRefused
from worker.kafka.holds import place_of
from worker.ledger.batch import Batch
from worker.ledger.memory_store import MemoryStore
from worker.words.explanations import explain

TOPIC = "job-closed"


class Refusing(MemoryStore):
    """Refuses one batch, when told to."""

    refuses = False

    async def commit(self, batch: Batch, epoch: int) -> None:
        if self.refuses and batch.answers:
            self.refuses = False
            raise BatchRefused("refused", "for a test")
        await super().commit(batch, epoch)


@pytest.fixture
async def decides() -> AsyncIterator[Deciding]:
    async with deciding(Refusing(), policies()) as decides:
        yield decides


async def ask(decides: Deciding, name: str, why: str = "garbage", **arguments: Any) -> Answer:  # noqa: ANN401
    command = Command(uuid4(), name, {"topic": TOPIC, "partition": None, **arguments}, "ana", why)
    return await CommandRunner(decides.writer).run(command)


async def hold(decides: Deciding, partition: int | None = None, *, let_time_go_on: bool = False) -> str:
    answer = await ask(decides, "positions-hold", partition=partition, let_time_go_on=let_time_go_on)
    return answer.reason


async def resume(decides: Deciding, partition: int | None = None) -> str:
    return (await ask(decides, "positions-resume", partition=partition)).reason


async def holds(decides: Deciding) -> dict[int | None, bool]:
    """Which partitions of the topic are on hold, each with whether time goes on; the same to the next leader."""
    known = decides.writer.holds
    assert {place: one[:4] for place, one in (await decides.store.holds()).items()} == {
        place: one[:4] for place, one in known.items()
    }
    assert {one.place.topic for one in known.values()} <= {TOPIC}
    return {one.partition: one.lets_time_go_on for one in known.values()}


async def test_a_hold_is_kept_until_it_is_resumed(decides: Deciding) -> None:
    assert await hold(decides, 1) == "on-hold"
    assert await holds(decides) == {1: False}
    await decides.restart()
    assert await holds(decides) == {1: False}
    assert await resume(decides, 1) == "resumed"
    assert await holds(decides) == {}
    await decides.restart()
    assert await holds(decides) == {}


async def test_who_asked_and_why_stays_with_the_decision(decides: Deciding) -> None:
    await hold(decides, 1)
    await resume(decides, 1)
    store = decides.store
    assert isinstance(store, MemoryStore)
    facts = [msgspec.json.decode(row.facts) for row in store.tables.decisions]
    assert [(row.kind, row.outcome, row.reason) for row in store.tables.decisions] == [
        ("command", "applied", "on-hold"),
        ("command", "applied", "resumed"),
    ]
    assert [(one["actor"], one["why"], one["topic"], one["partition"]) for one in facts] == [
        ("ana", "garbage", TOPIC, 1)
    ] * 2


async def test_a_second_hold_changes_only_what_it_means_for_time(decides: Deciding) -> None:
    await hold(decides, 1)
    assert await hold(decides, 1) == "already-on-hold"
    assert await hold(decides, 1, let_time_go_on=True) == "on-hold"
    assert await holds(decides) == {1: True}
    assert await hold(decides, 1, let_time_go_on=True) == "already-on-hold"
    assert await hold(decides, 1) == "on-hold"
    assert await holds(decides) == {1: False}
    assert await hold(decides) == "on-hold"
    assert await hold(decides, let_time_go_on=True) == "on-hold"
    assert await holds(decides) == {None: True}


async def test_a_topic_takes_the_place_of_its_partitions(decides: Deciding) -> None:
    await hold(decides, 1)
    await hold(decides, 2)
    assert await hold(decides) == "on-hold"
    assert await holds(decides) == {None: False}
    assert await hold(decides, 1) == "already-on-hold"
    assert await hold(decides, 1, let_time_go_on=True) == "already-on-hold"
    assert await resume(decides, 1) == "topic-on-hold"
    assert await holds(decides) == {None: False}
    assert await resume(decides) == "resumed"
    assert await holds(decides) == {}


async def test_a_topic_resumes_its_partitions(decides: Deciding) -> None:
    await hold(decides, 1)
    await hold(decides, 2)
    assert await resume(decides) == "resumed"
    assert await holds(decides) == {}


async def test_what_is_not_on_hold_is_not_resumed(decides: Deciding) -> None:
    assert await resume(decides) == "not-on-hold"
    await hold(decides, 1)
    assert await resume(decides, 2) == "not-on-hold"
    assert await holds(decides) == {1: False}


@pytest.mark.parametrize("name", ["positions-hold", "positions-resume"])
@pytest.mark.parametrize("wrong", [{"topic": "no-topic"}, {"partition": -1}, {"partition": 2**31}, {"partition": "x"}])
async def test_what_is_no_partition_of_an_input_topic_is_refused(
    decides: Deciding, name: str, wrong: dict[str, object]
) -> None:
    answer = await ask(decides, name, **wrong)
    assert (answer.outcome, answer.reason) == ("declined", "wrong-arguments")
    assert await holds(decides) == {}


async def test_a_command_that_fails_is_answered_and_leaves_nothing_behind(
    decides: Deciding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every worker would end with it otherwise, one after the other."""
    put_on_hold = decides.writer.hold

    def fails(*place: Any, **how: Any) -> None:  # noqa: ANN401
        put_on_hold(*place, **how)
        raise KeyError("x")

    with monkeypatch.context() as patch:
        patch.setattr(decides.writer, "hold", fails)
        answer = await ask(decides, "positions-hold", partition=1)
    assert (answer.outcome, answer.reason, answer.told) == ("declined", "command-failed", {"error": "KeyError: 'x'"})
    assert await holds(decides) == {}
    assert await hold(decides, 1) == "on-hold"
    assert await holds(decides) == {1: False}


async def test_a_hold_in_a_batch_that_is_refused_is_carried_out_again(decides: Deciding) -> None:
    """What was decided before it in that batch was refused; that event is set aside."""
    assert isinstance(decides.store, Refusing)
    body = b'{"event_id": "e-1", "occurred_at": "2026-01-01T00:00:00Z", "freelancer_id": "f-1"}'
    row = {"topic": "freelancer-registered", "partition": 0, "offset": 0, "payload": body, "business_time": None}
    await decides.decide(as_read([row]))
    decides.store.refuses = True
    assert await hold(decides, 1) == "on-hold"
    assert not decides.store.refuses
    assert [row.reason for row in decides.store.tables.decisions] == ["refused-by-postgresql", "on-hold"]
    assert await holds(decides) == {1: False}


async def test_each_refusal_says_what_to_do(decides: Deciding) -> None:
    async def words(name: str, **arguments: object) -> str:
        answer = await ask(decides, name, **arguments)
        return explain(answer.reason, answer.outcome, Subject(), answer.told)

    assert await words("positions-resume", partition=0) == (
        "Nothing to resume: job-closed, partition 0 is not on hold. `connects positions list` shows what is."
    )
    await hold(decides)
    since = f"{decides.writer.holds[place_of(TOPIC, None)].since:%H:%M:%S} UTC on "
    again = await words("positions-hold", let_time_go_on=False)
    assert again.startswith(f"Nothing to do: job-closed, all partitions is on hold already, since {since}")
    assert again.endswith("by ana (garbage). To let business time go on meanwhile, add --let-time-go-on.")
    part = await words("positions-resume", partition=3)
    assert part.startswith(f"Not resumed: job-closed is on hold as a whole, since {since}")
    assert part.endswith("Resume all of it: `connects positions resume job-closed --why TEXT`.")
