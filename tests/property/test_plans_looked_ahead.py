"""A plan for which the ledger is asked about many corrections together is that of asking about each by itself.

It is the same file, byte by byte: random histories are corrected, undone and amended by plans that are made both ways.
Some rules fail meanwhile, so that what was read ahead is thrown away; and hardly anything that was read may be kept.
"""

import asyncio
import io
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import amending, replacing, replaying, undoing, voiding
from tests.kit.deciding import GRACE, Deciding, as_read, deciding
from tests.kit.histories import History, Record, listed
from tests.kit.overlays import MemorySnapshot
from tests.kit.policies import policies
from tests.property.came_wrong import made_wrong
from tests.property.played import in_order
from tests.property.test_amounts_again import otherwise
from tests.property.test_shared_batches import failing
from tests.property.variety import FOR_GOOD, POLICIES, SEEDS, any_histories, looking
from worker.domain.policy import PolicyBook
from worker.engine.writer import Writer
from worker.ledger.memory_store import MemoryStore
from worker.repair import overlay, planning, planning_replaces, planning_undos, planning_voids
from worker.repair.plan import kind_of
from worker.repair.plan_file import write_plan
from worker.repair.planning import Planned
from worker.repair.selecting import JobToSettle

LIMIT_SECONDS = 300
FIRST, UNDONE, AGAIN = "ab" * 32, "cd" * 32, "ef" * 32
QUESTIONS = (
    *("in_full", "moved_since", "naming", "standing", "mentioned", "claimants", "first_decisions", "changes"),
    *("voided_of", "lots", "owing", "grants", "voided_keys", "spends", "awaiting", "hires", "last_decisions"),
)
"""What a snapshot is asked, by one statement each."""


@looking(examples=150)
@given(
    records=any_histories(),
    policy=st.sampled_from(sorted(POLICIES)),
    seed=st.integers(0, 2**32),
    wrong=st.booleans(),
    trouble=st.booleans(),
)
def test_a_plan_is_the_same_however_many_are_asked_for_together(
    records: list[Record], policy: str, seed: int, *, wrong: bool, trouble: bool
) -> None:
    asyncio.run(plan_both_ways(records, POLICIES[policy], random.Random(seed), wrong=wrong, trouble=trouble))


@pytest.mark.in_turn
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("trouble", [False, True])
def test_a_marketplaces_plans_are_the_same(seed: int, *, wrong: bool, trouble: bool) -> None:
    history = list(History(seed, events=400, jobs=30, late=0.03))
    chance = random.Random(seed)
    ways = asyncio.run(plan_both_ways(history, POLICIES["as it is"], chance, wrong=wrong, trouble=trouble))
    assert ways.kinds >= ({"replace", "void"} if wrong else {"void", "undo"}), f"TEST_SEED={seed}"


def test_little_is_asked_about_many() -> None:
    alone, both = asyncio.run(asked_about_voids(2)), asyncio.run(asked_about_voids(100))
    assert both * 4 < alone, f"{alone} questions one by one, {both} together"


async def asked_about_voids(at_once: int) -> int:
    """How much a snapshot is asked for a plan that voids most of a history."""
    store, book, asked = MemoryStore(), policies(POLICIES["as it is"]), {"about": 0}
    async with deciding(store, book, batch_size=50) as decides:
        decides.add_policies()
        await decides.decide(as_read(in_order(list(History(FOR_GOOD, events=400)), POLICIES["as it is"])))
        await decides.commit()
    ways = Ways(store, book, random.Random(FOR_GOOD), "", trouble=False)
    with counting(asked, "about"), together(at_once, 500):
        planned = await voiding.plan(store, book, ways.voidable(0.9))
    assert len(planned.triggers) > 100
    return asked["about"]


async def plan_both_ways(
    records: list[Record], text: str, chance: random.Random, *, wrong: bool, trouble: bool
) -> "Ways":
    """Correct, undo or not, amend and correct again: each plan is made both ways, and some are applied."""
    came, right = made_wrong(records, chance) if wrong else (records, [])
    book, store = policies(text), MemoryStore()
    ways = Ways(store, book, chance, f"{right}\n{listed(came)}", trouble=trouble)
    async with asyncio.timeout(LIMIT_SECONDS), deciding(store, book, batch_size=50) as decides:
        decides.add_policies()
        await decides.decide(as_read(in_order(came, text)))
        await decides.commit()
        if decides.writer.business_time is None:
            return ways
        await decides.until(decides.writer.business_time + 2 * GRACE)
        if wrong:
            shifted = [event["event_id"] for topic, event in right if topic == "proposal-submitted"][::3]
            others = [event for event in right if event[1]["event_id"] not in shifted]
            hours = timedelta(hours=chance.choice((-30, 1, 50)))
            first = await ways.plan(lambda: replacing.plan(store, book, others, shifted=shifted, by=hours))
        else:
            first = await ways.plan(ways.voids())
        await ways.apply(decides, first, FIRST)
        undone = await ways.plan(lambda: undoing.plan(store, book, FIRST))
        if chance.random() < 0.5:
            await ways.apply(decides, undone, UNDONE)
        corrected = otherwise(text, chance)
        seqs = ways.voidable(0.1)
        amended = await ways.plan(lambda: amending.plan(store, book, None, corrected, seqs))
        if chance.random() < 0.5:
            await ways.apply(decides, amended, AGAIN)
        await ways.plan(ways.voids())
    return ways


class Ways:
    """Makes each plan of one ledger both ways, and compares them."""

    def __init__(
        self, store: MemoryStore, book: PolicyBook, chance: random.Random, shown: str, *, trouble: bool
    ) -> None:
        self._store, self._book, self._chance, self._shown, self._trouble = store, book, chance, shown, trouble
        self.kinds: set[str] = set()
        """The kinds of triggers that there were."""

    async def plan(self, make: Callable[[], Awaitable[Planned]]) -> Planned:
        """The plan, made both ways. Some rules may fail, and then it is made once more without that."""
        if self._trouble:
            await self._compare(make, frozenset(self.voidable(0.05)))
        return await self._compare(make, frozenset())

    async def _compare(self, make: Callable[[], Awaitable[Planned]], fails: frozenset[int]) -> Planned:
        at_once, kept = self._chance.choice((2, 5, 100)), self._chance.choice((1, 3, 500))
        with failing(fails):
            with one_by_one():
                alone = await make()
            with together(at_once, kept):
                both = await make()
        assert _as_file(both, self._book) == _as_file(alone, self._book), f"{at_once}, {kept}, {fails}\n{self._shown}"
        self.kinds.update(map(kind_of, alone.triggers))
        return alone

    def voids(self) -> Callable[[], Awaitable[Planned]]:
        """Voids part of all that may be, the latest first, and settles some jobs again."""
        seqs, chance = self.voidable(self._chance.choice((0.2, 0.5, 0.9))), self._chance
        on = sorted({row.job_id for row in self._store.tables.spends if chance.random() < 0.3})
        jobs = [JobToSettle(name, chance.random() < 0.5, "jobs", number) for number, name in enumerate(on, 1)]
        return lambda: voiding.plan(self._store, self._book, seqs, jobs)

    def voidable(self, part: float) -> list[int]:
        """So many of the decisions that may be voided."""
        return voiding.some_of(self._store, self._chance, part)

    async def apply(self, decides: Deciding, planned: Planned, name: str) -> None:
        if planned.triggers:
            answer = await replaying.apply(decides, self._book, planned.triggers, name)
            booked = (answer.reason, answer.told.get("booked"))
            assert booked == ("plan-applied", len(planned.triggers)), f"{answer}\n{self._shown}"


def _as_file(planned: Planned, book: PolicyBook) -> bytes:
    file = io.BytesIO()
    write_plan(file, replaying.header(book, "a ledger"), planned.triggers, planned.wallets, planned.summary)
    return file.getvalue()


@contextmanager
def one_by_one() -> Iterator[None]:
    """Nothing is read ahead: each correction asks for itself, when its turn comes."""

    async def look_ahead(_writer: Writer, _corrections: Sequence[object]) -> None:
        pass

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Writer, "look_ahead", look_ahead)
        yield


@contextmanager
def together(at_once: int, kept: int) -> Iterator[None]:
    """The ledger is asked about so many corrections together, and so many of its answers are kept."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (planning, planning_replaces, planning_undos, planning_voids):
            patched.setattr(module, "AT_ONCE", at_once)
        patched.setattr(overlay, "_MOST_KEPT", kept)
        patched.setattr(overlay, "_MOST_HISTORIES", kept)
        yield


@contextmanager
def counting(asked: dict[str, int], way: str) -> Iterator[None]:
    """Counts what is asked of snapshots meanwhile."""

    def counted(name: str) -> Callable[..., Any]:
        ask = getattr(MemorySnapshot, name)

        def answer(*arguments: object) -> Any:  # noqa: ANN401 - what is asked answers
            asked[way] += 1
            return ask(*arguments)

        return answer

    with pytest.MonkeyPatch.context() as patched:
        for name in QUESTIONS:
            patched.setattr(MemorySnapshot, name, counted(name))
        yield
