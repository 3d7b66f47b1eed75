"""How a plan goes to the worker: in steps, at a rate, until too many deviate or somebody stops it."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kit.policies import policies
from tests.kit.replaying import header
from worker.cli.replay._plans import how_it_ended
from worker.errors import OperatorNeeded, UsageError
from worker.queries.commands import Answered
from worker.repair.applying import Applied, Way, apply, begin, in_chunks, takes_of, triggers_of
from worker.repair.plan import Added, Expected, Void
from worker.repair.plan_file import Plan, read_plan, write_plan
from worker.repair.summary import Summary

AS_FAST_AS_IT_GOES = Way(give_only=False, most_deviations=0.01)


def trigger(number: int, connects: int = 1, event: str = "{}") -> Added:
    expected = Expected("applied", "purchased", {"f-1": connects})
    return Added(number, "connects-purchased", f"e-{number}", event, "hour.jsonl", number, expected)


def plan_of(folder: Path, *triggers: Added, counted: int | None = None) -> Plan:
    summary = Summary({"add": len(triggers) if counted is None else counted})
    path = folder / "hour.plan"
    with path.open("wb") as file:
        write_plan(file, header(policies(), "a-ledger"), triggers, [], summary)
    return read_plan(path)


class Worker:
    """Replies as a worker does; triggers of the numbers `deviate` are not as planned."""

    def __init__(self, *deviate: int, reasons: dict[int, str] | None = None) -> None:
        self.deviate, self.reasons = set(deviate), reasons or {}
        self.asked: list[tuple[str, list[int]]] = []

    async def __call__(self, name: str, arguments: dict[str, object]) -> Answered:
        triggers: Any = arguments["triggers"]
        numbers = [] if isinstance(triggers, int) else [one.number for one in triggers]
        reason = self.reasons.get(len(self.asked), "plan-applied")
        self.asked.append((name, numbers))
        outcome = "applied" if reason in {"plan-applied", "plan-begun"} else "declined"
        deviated = len(self.deviate & set(numbers))
        told: dict[str, Any] = {"booked": len(numbers) - deviated, "deviated": deviated, "left_out": 0}
        return Answered("command:1", outcome, reason, f"words of {reason}", told)


async def applied(
    plan: Plan,
    worker: Worker,
    way: Way = AS_FAST_AS_IT_GOES,
    before: dict[int, bool] | None = None,
    stop_when: Callable[[Applied], bool] = lambda _: False,
) -> tuple[Applied, list[int]]:
    """What became of it in the end, and how many had been asked for after each step."""
    stopping, steps, last = asyncio.Event(), [], None
    async for last in apply(plan, before or {}, way, worker, stopping):
        steps.append(last.asked)
        if stop_when(last):
            stopping.set()
    assert last is not None
    return last, steps


def test_the_steps_are_1_10_100_1000_and_then_chunks_of_500() -> None:
    chunks = [(len(chunk), ends) for chunk, ends in in_chunks(map(trigger, range(1, 2_313)))]
    assert chunks == [
        *((1, True), (10, True), (100, True)),
        *((500, False), (500, True)),
        *((500, True), (500, True), (201, True)),
    ]
    numbers = [one.number for chunk, _ in in_chunks(map(trigger, range(1, 2_313))) for one in chunk]
    assert numbers == list(range(1, 2_313))


def test_voids_come_in_chunks_as_large_as_those_of_other_triggers() -> None:
    expected = Expected("applied", "voided", {"f-1": -1})
    voids = (Void(n, n, "f-1", None, None, "badge-earned", [f"e-{n}"], "resent.txt", n, expected) for n in range(1, 60))
    assert [(len(chunk), ends) for chunk, ends in in_chunks(voids)] == [(1, True), (10, True), (48, True)]


def test_a_chunk_has_at_most_a_mebibyte_of_triggers() -> None:
    large = [trigger(number, event="x" * 400_000) for number in range(1, 8)]
    assert [len(chunk) for chunk, _ in in_chunks(large)] == [1, 2, 2, 2]
    assert [len(chunk) for chunk, _ in in_chunks([trigger(1, event="x" * 2_000_000), trigger(2)])] == [1, 1]


async def test_every_trigger_is_asked_for_once_in_order(tmp_path: Path) -> None:
    plan, worker = plan_of(tmp_path, *map(trigger, range(1, 20))), Worker()
    last, steps = await applied(plan, worker)
    assert [numbers for _, numbers in worker.asked] == [[1], list(range(2, 12)), list(range(12, 20))]
    assert steps == [1, 11, 19]
    assert (last.booked, last.left, last.stopped, last.is_as_planned) == (19, 0, None, True)


async def test_what_was_answered_before_is_not_asked_for(tmp_path: Path) -> None:
    plan, worker = plan_of(tmp_path, *map(trigger, range(1, 5))), Worker()
    last, _ = await applied(plan, worker, before={1: True, 3: True})
    assert [numbers for _, numbers in worker.asked] == [[2], [4]]
    assert (last.answered_before, last.left, last.is_as_planned) == (2, 0, True)
    last, _ = await applied(plan, Worker(), before={1: True, 2: False, 3: True, 4: True})
    assert (last.asked, last.not_booked_before, last.is_as_planned) == (0, 1, False)


async def test_too_many_deviations_stop_it(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, *map(trigger, range(1, 200)))
    worker = Worker(5, 150)
    last, _ = await applied(plan, worker)
    assert (last.asked, last.deviated, last.stopped, last.left) == (11, 1, "too-many-deviations", 188)
    last, _ = await applied(plan, Worker(5, 150), Way(give_only=False, most_deviations=0.1))
    assert (last.asked, last.deviated, last.stopped, last.is_as_planned) == (199, 2, None, False)


async def test_nothing_is_stopped_where_the_last_triggers_deviate(tmp_path: Path) -> None:
    last, _ = await applied(plan_of(tmp_path, trigger(1), trigger(2)), Worker(2))
    assert (last.asked, last.deviated, last.stopped, last.left) == (2, 1, None, 0)
    words = how_it_ended(last, "boosts.plan")
    assert words.endswith("make a new plan for what deviated.")
    assert "most-deviations" not in words


async def test_it_is_stopped_between_two_chunks(tmp_path: Path) -> None:
    plan, worker = plan_of(tmp_path, *map(trigger, range(1, 200))), Worker()
    last, _ = await applied(plan, worker, stop_when=lambda so_far: so_far.asked == 11)
    assert (last.asked, last.stopped, last.left, last.is_as_planned) == (11, "interrupted", 188, False)


async def test_a_rate_limits_how_many_are_asked_for_a_second(tmp_path: Path) -> None:
    plan, worker = plan_of(tmp_path, *map(trigger, range(1, 16))), Worker()
    begun = time.monotonic()
    last, _ = await applied(plan, worker, Way(give_only=False, most_deviations=0.01, rate=50.0))
    assert time.monotonic() - begun >= 15 / 50
    assert last.is_as_planned
    assert max(len(numbers) for _, numbers in worker.asked) <= 50


async def test_what_a_worker_did_not_finish_is_asked_for_again(tmp_path: Path) -> None:
    plan, worker = plan_of(tmp_path, trigger(1), trigger(2)), Worker(reasons={0: "plan-interrupted"})
    last, _ = await applied(plan, worker)
    assert [numbers for _, numbers in worker.asked] == [[1], [1], [2]]
    assert (last.booked, last.left) == (2, 0)


async def test_a_plan_that_is_refused_ends_it_in_its_words(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, trigger(1))
    with pytest.raises(OperatorNeeded, match=r"^words of plan-refused$"):
        await applied(plan, Worker(reasons={0: "plan-refused"}))
    with pytest.raises(OperatorNeeded, match=r"^words of plan-refused$"):
        await begin(plan, Worker(reasons={0: "plan-refused"}))
    for reason in ("plan-begun", "plan-is-open"):
        worker = Worker(reasons={0: reason})
        await begin(plan, worker)
        assert worker.asked == [("replay-begin", [])]


def test_what_takes_connects_is_counted_on_balance(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, trigger(1, -3), trigger(2, 4), trigger(3, -1))
    assert (takes_of(plan), triggers_of(plan)) == (2, 3)


def test_more_triggers_than_a_plan_may_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the plan has 200001 triggers, and a plan may have 200000"):
        triggers_of(plan_of(tmp_path, trigger(1), counted=200_001))
