"""Corrections of decisions that share batches book what they book one by one: in a batch each, in the plan's order.

Two ledgers with the same history are given the same plans, and the same events come to both between plan and apply, so
that some of it deviates; some rules fail, and some decisions are refused. One of them decides what it can together,
perhaps a little at a time, and its commits are lost; the other one decides each by itself. In the end they are the
same, row by row and message by message, but for the numbers of batches and for the order of what has nothing in common.
"""

import asyncio
import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import replacing, replaying, undoing, voiding
from tests.kit.deciding import GRACE, Deciding, as_read, deciding
from tests.kit.histories import History, Record, listed
from tests.kit.policies import policies
from tests.kit.replaying import nothing_is_found
from tests.property.came_wrong import made_wrong
from tests.property.played import in_order
from tests.property.test_undos import go_on
from tests.property.variety import POLICIES, SEEDS, any_histories, looking
from worker.domain.policy import PolicyBook
from worker.engine import chunk_work, correcting
from worker.engine.commands import Command, CommandRunner
from worker.errors import BatchRefused, Transient
from worker.kafka.output.messages import unpack
from worker.ledger.batch import Batch
from worker.ledger.memory_store import MemoryStore
from worker.ledger.tables import DecisionRow
from worker.repair.plan import Trigger

LIMIT_SECONDS = 120
FIRST, UNDONE, AGAIN = "ab" * 32, "cd" * 32, "ef" * 32
ALONE, TOGETHER = (1,), (2, 5, 32)


class Ledger(MemoryStore):
    """Refuses the corrections of some decisions, as PostgreSQL might; and loses commits, before or after they count."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses: frozenset[int] = frozenset()
        self.loses: random.Random | None = None

    async def commit(self, batch: Batch, epoch: int) -> None:
        if self.refuses.intersection(row.follows for row in batch.decisions if row.kind == "correction"):
            raise BatchRefused("refused", "for a test")
        lost = self.loses is not None and self.loses.random() < 0.15
        if lost and self.loses is not None and self.loses.random() < 0.5:
            raise Transient("away before the commit")
        await super().commit(batch, epoch)
        if lost:
            raise Transient("away after the commit")


@looking(examples=100)
@given(
    records=any_histories(),
    policy=st.sampled_from(sorted(POLICIES)),
    seed=st.integers(0, 2**32),
    wrong=st.booleans(),
    trouble=st.booleans(),
)
def test_what_shares_batches_is_as_if_each_had_its_own(
    records: list[Record], policy: str, seed: int, *, wrong: bool, trouble: bool
) -> None:
    asyncio.run(compare(records, POLICIES[policy], random.Random(seed), wrong=wrong, trouble=trouble))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("trouble", [False, True])
def test_a_marketplaces_corrections_share_batches(seed: int, *, wrong: bool, trouble: bool) -> None:
    history = list(History(seed, events=400, jobs=30, late=0.03))
    decided, batches = asyncio.run(
        compare(history, POLICIES["as it is"], random.Random(seed), wrong=wrong, trouble=trouble)
    )
    assert decided > 20, f"TEST_SEED={seed}"
    if not trouble:
        assert batches < decided, f"TEST_SEED={seed}: {decided} in {batches} batches"


async def compare(
    records: list[Record], text: str, chance: random.Random, *, wrong: bool, trouble: bool
) -> tuple[int, int]:
    """Correct, undo and correct again, in both ledgers; how much that decided, and in how many shared batches."""
    came, right = made_wrong(records, chance) if wrong else (records, [])
    book, rows = policies(text), in_order(came, text)
    later = chance.randrange(len(rows) * 3 // 4, len(rows) + 1) if rows else 0
    shown = f"parted at {later}, {right}\n{listed(came)}"
    first = Ledger()
    async with asyncio.timeout(LIMIT_SECONDS), deciding(first, book, batch_size=50) as decides:
        decides.add_policies()
        await decides.decide(as_read(rows[:later]))
        await decides.commit()
        if (instant := decides.writer.business_time) is None:
            return 0, 0
        await decides.until(instant + 2 * GRACE)
    second, most = copy.deepcopy(first), chance.choice((4, 50, 1_000))
    pair = Pair(book, chance, trouble=trouble)
    async with (
        asyncio.timeout(LIMIT_SECONDS),
        deciding(first, book, batch_size=most) as together,
        deciding(second, book, batch_size=most) as alone,
    ):
        pair.together, pair.alone = together, alone
        if wrong:
            planned = (await replacing.plan(first, book, right)).triggers
        else:
            part = chance.choice((0.2, 0.5, 0.9))
            planned = (await voiding.plan(first, book, voiding.some_of(first, chance, part))).triggers
        for decides in (together, alone):
            await go_on(decides, rows[later:], 0)
        await pair.apply(planned, planned, FIRST, shown)
        undone = (await undoing.plan(first, book, FIRST)).triggers
        pair.plans_are_the_same(undone, (await undoing.plan(second, book, FIRST)).triggers, shown)
        if chance.random() < 0.3 and (instant := together.writer.business_time) is not None:
            for decides in (together, alone):
                await decides.until(instant + 40 * 24 * 60 * 2 * GRACE)
        await pair.apply(undone, [pair.in_the_other(one) for one in undone], UNDONE, shown)
        if not wrong:
            seqs = sorted({trigger.seq for trigger in planned if hasattr(trigger, "seq")})
            again = (await voiding.plan(first, book, seqs)).triggers
            await pair.apply(again, again, AGAIN, shown)
        await nothing_is_found(first, 1, shown=shown)
        return sum(1 for _ in first.tables.replayed), pair.batches


class Pair:
    """Two ledgers, and a way to apply plans to each: together, a part at a time, with losses; or one by one."""

    together: Deciding
    alone: Deciding

    def __init__(self, book: PolicyBook, chance: random.Random, *, trouble: bool) -> None:
        self._book, self._chance, self._trouble = book, chance, trouble
        self._seqs: dict[int, int] = {}
        """The decisions of plans in the first ledger, each with what it is in the second one."""
        self._commands = 0
        self.batches = 0

    async def apply(self, triggers: Sequence[Trigger], others: Sequence[Trigger], plan: str, shown: str) -> None:
        if not triggers:
            return
        chance = self._chance
        fails = frozenset(
            one.seq for one in triggers if hasattr(one, "seq") and self._trouble and chance.random() < 0.04
        )
        refuses = frozenset(
            one.seq for one in triggers if hasattr(one, "seq") and self._trouble and chance.random() < 0.04
        )
        most, seconds = chance.choice(TOGETHER), chance.choice((None, 0.0))
        loses = random.Random(chance.random()) if self._trouble else None
        give_only = chance.random() < 0.1
        commands = self._commands
        with sharing(most), failing(fails):
            store = self.together.store
            assert isinstance(store, Ledger)
            store.refuses, store.loses = refuses, loses
            before = sum(1 for _ in store.tables.batches)
            await self._apply(self.together, triggers, plan, seconds, give_only=give_only)
            self.batches += sum(1 for _ in store.tables.batches) - before
            store.refuses, store.loses = frozenset(), None
        self._commands = commands
        with sharing(ALONE[0]), failing(frozenset(self._seqs.get(seq, seq) for seq in fails)):
            store = self.alone.store
            assert isinstance(store, Ledger)
            store.refuses = frozenset(self._seqs.get(seq, seq) for seq in refuses)
            await self._apply(self.alone, others, plan, None, give_only=give_only)
            store.refuses = frozenset()
        self.are_the_same(plan, f"most={most}, seconds={seconds}, {shown}")

    async def _apply(
        self, decides: Deciding, triggers: Sequence[Trigger], plan: str, seconds: float | None, *, give_only: bool
    ) -> None:
        header = replaying.header(self._book, await decides.store.ledger_id())
        await self._ask(decides, "replay-begin", {"plan": plan, "header": header, "triggers": len(triggers)}, None)
        for at in range(0, len(triggers), 100):
            chunk = {"plan": plan, "give_only": give_only, "triggers": triggers[at : at + 100]}
            await self._ask(decides, "replay-decide", chunk, seconds)

    async def _ask(self, decides: Deciding, name: str, arguments: dict[str, Any], seconds: float | None) -> None:
        """Have a command carried out, by the next leader when one has lost its ledger."""
        self._commands += 1
        asked = msgspec.json.decode(msgspec.json.encode(arguments))
        command = Command(UUID(int=self._commands), name, asked, "ana", "for a test")
        while True:
            try:
                answer = None
                while answer is None:
                    answer = await CommandRunner(decides.writer).go_on(command, seconds)
            except Transient:
                await decides.restart()
                row = [one for one in self._store(decides).tables.decisions if one.event_id == f"command:{command.id}"]
                if any(one.kind == "command" for one in row):
                    return  # it was answered, and the answer was lost
            else:
                assert answer.reason in {"plan-begun", "plan-applied"}, answer
                return

    def _store(self, decides: Deciding) -> Ledger:
        assert isinstance(decides.store, Ledger)
        return decides.store

    def in_the_other(self, trigger: Trigger) -> Trigger:
        """The trigger as it is of the other ledger, whose decisions have other places."""
        seq = getattr(trigger, "seq", None)
        return trigger if seq is None else msgspec.structs.replace(trigger, seq=self._seqs.get(seq, seq))

    def plans_are_the_same(self, one: Sequence[Trigger], other: Sequence[Trigger], shown: str) -> None:
        def known(triggers: Sequence[Trigger]) -> list[Any]:
            return sorted((trigger.line, trigger.corrects, str(trigger.expected)) for trigger in triggers)

        assert known(one) == known(other), shown

    def are_the_same(self, plan: str, shown: str) -> None:
        first, second = self._store(self.together).tables, self._store(self.alone).tables
        mine, theirs = ({row.number: row for row in each.replayed if row.plan == plan} for each in (first, second))
        assert {n: row[3:5] for n, row in mine.items()} == {n: row[3:5] for n, row in theirs.items()}, shown
        for number, row in mine.items():
            if row.decision_seq is not None:
                self._seqs[row.decision_seq] = theirs[number].decision_seq or 0
        back = {theirs_: mine_ for mine_, theirs_ in self._seqs.items()}
        for name in ("decisions", "changes", "lots", "spends", "closures", "hires", "memberships", "charges", "held"):
            assert _rows(first, name, {}) == _rows(second, name, back), f"{name}\n{shown}"
        for name in ("awaiting", "due", "voided", "amended", "seen_events", "mentions", "parked", "parked_triggers"):
            assert _rows(first, name, {}) == _rows(second, name, back), f"{name}\n{shown}"
        assert _messages(self._store(self.together)) == _messages(self._store(self.alone)), shown


def _rows(tables: Any, name: str, seqs: Mapping[int, int]) -> list[Any]:  # noqa: ANN401
    """The rows of a table, in any order, with the places of decisions as they are in the first ledger."""
    return sorted((_row(row, seqs) for row in getattr(tables, name)), key=repr)


def _row(row: Any, seqs: Mapping[int, int]) -> dict[str, Any]:  # noqa: ANN401
    known: dict[str, Any] = row._asdict()
    if isinstance(row, DecisionRow):
        known["batch_no"] = 0
        if row.rule == "correct.undo" or row.kind == "command":  # it names decisions by their places
            known["payload"] = None
    for field in ("seq", "decision_seq", "by_seq", "follows", "previous_seq"):
        if known.get(field) is not None:
            known[field] = seqs.get(known[field], known[field])
    if str(known.get("key", "")).startswith("s:"):
        known["key"] = f"s:{seqs.get(int(known['key'][2:]), int(known['key'][2:]))}"
    return known


def _messages(store: Ledger) -> dict[bytes, list[bytes]]:
    """What is published, by whom it is about, in its order."""
    found: dict[bytes, list[bytes]] = {}
    for row in store._outbox.values():  # noqa: SLF001 - in order, all of it
        for message in unpack(row.messages):
            found.setdefault(message.key, []).append(message.value)
    return found


@contextmanager
def sharing(most: int) -> Iterator[None]:
    """At most so many corrections are decided together."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(chunk_work, "_MOST_TOGETHER", most)
        yield


@contextmanager
def failing(seqs: frozenset[int]) -> Iterator[None]:
    """The rules fail for the corrections of these decisions."""
    decide: Callable[..., Any] = correcting._decision_of  # noqa: SLF001 - one place for all of them

    def fails(state: Any, correction: Any, *others: Any) -> Any:  # noqa: ANN401
        if getattr(correction, "seq", None) in seqs:
            raise ZeroDivisionError("for a test")
        return decide(state, correction, *others)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(correcting, "_decision_of", fails)
        yield
