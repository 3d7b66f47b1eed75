"""Deciding again what a troubled worker recorded: rules that failed, wallets and jobs that were parked and released by
commands, restarts with another grace, policy versions that came later. By the same rules nothing is found."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.deciding import Deciding, as_read, deciding
from tests.kit.deciding_again import decide_again
from tests.kit.histories import START, History, MembershipYears, Record, listed
from tests.kit.policies import policies
from tests.property.played import in_order
from tests.property.variety import POLICIES, SEEDS, any_histories, looking
from worker.domain.booking import Booking
from worker.domain.policy import PolicyBook
from worker.domain.rules import charges, cycles, grants, monthly, refunds
from worker.engine.commands import CommandRunner, read_command
from worker.kafka.records import InputRecord
from worker.ledger.memory_store import MemoryStore
from worker.ledger.parked import ParkedKey
from worker.ledger.store import OpenCommand
from worker.proof.memory_reader import MemoryReader
from worker.proof.memory_rows import MemoryRows

LIMIT_SECONDS = 120
FAILING: dict[str, tuple[Any, str]] = {
    "grants": (grants, "grant"),
    "refunds": (refunds, "_give_back"),
    "closures": (refunds, "Closure"),
    "hires": (refunds, "HireMade"),
    "expiry": (Booking, "expire"),
    "cycles": (monthly, "basic_cycle"),
    "charges": (charges, "request"),
    "suspensions": (cycles, "insort"),
    "spends": (Booking, "spend"),
}
"""What fails while it is in trouble, by name."""


@dataclass(frozen=True)
class Trouble:
    """What fails between two records, when what was parked is released, the grace from then on, when versions come."""

    failing: tuple[str, ...]
    begins: int
    ends: int
    released: int
    grace_seconds: int
    version_at: int
    parts: int


troubles = st.builds(
    Trouble,
    failing=st.lists(st.sampled_from(sorted(FAILING)), min_size=1, max_size=3, unique=True).map(tuple),
    begins=st.integers(0, 30),
    ends=st.integers(1, 30),
    released=st.integers(0, 30),
    grace_seconds=st.sampled_from((1, 30, 30, 61, 3_600, 90_000)),
    version_at=st.integers(0, 60),
    parts=st.sampled_from((1, 1, 2, 5)),
)


@looking(examples=120)
@given(records=any_histories(), policy=st.sampled_from(sorted(POLICIES)), trouble=troubles)
def test_nothing_is_found_after_trouble(records: list[Record], policy: str, trouble: Trouble) -> None:
    asyncio.run(decide_and_compare(records, policy, trouble))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("parts", [1, 4])
def test_nothing_is_found_after_a_troubled_month(seed: int, parts: int) -> None:
    history = History(seed, freelancers=25, events=600, jobs=30, late=0.05, poison=0.02)
    trouble = Trouble(("grants", "refunds", "closures", "charges", "cycles"), 200, 60, 60, 61, 300, parts)
    asyncio.run(decide_and_compare(list(history), "claw-back", trouble))


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_found_after_troubled_years(seed: int) -> None:
    history = MembershipYears(seed, freelancers=40, years=1.5, late=0.02)
    trouble = Trouble(("cycles", "charges", "expiry", "suspensions"), 100, 150, 20, 3_600, 300, 2)
    asyncio.run(decide_and_compare(list(history), "changing", trouble))


async def decide_and_compare(records: list[Record], policy: str, trouble: Trouble) -> None:
    store = MemoryStore()
    async with asyncio.timeout(LIMIT_SECONDS):
        await live_through(store, records, policy, trouble)
    found = await decide_again(MemoryReader(store, 50), trouble.parts, MemoryRows(store.tables))
    told = f"{found}\npolicy {policy!r}, {trouble}\n{listed(records[:100])}"
    assert not found.findings, told
    assert (found.tally.row_count, found.tally.not_compared) == (0, 0), told
    assert found.tally.decisions + found.tally.inputs == len(list(store.tables.decisions)), told
    assert (found.tally.words, found.tally.skipped, found.tally.older) == (0, 0, 0), told


async def live_through(store: MemoryStore, records: list[Record], policy: str, trouble: Trouble) -> None:
    text = POLICIES[policy]
    read = as_read(in_order(records, text))
    book = policies(text)
    first = PolicyBook(book.versions[:1])
    async with deciding(store, first, batch_size=7) as decides:
        await add_versions(decides, first.versions)
        life = Life(store, decides, trouble, book)
        for number, record in enumerate(read):
            await life.before(number, record)
            await decides.decide([record])
        await life.comes_to_an_end(read)


class Life:
    """What happens between the records."""

    def __init__(self, store: MemoryStore, decides: Deciding, trouble: Trouble, book: PolicyBook) -> None:
        self._store, self._decides, self._trouble, self._book = store, decides, trouble, book
        self._broken = ExitStack()
        self._commands = 0

    async def before(self, number: int, record: InputRecord) -> None:
        trouble = self._trouble
        if number == trouble.version_at:
            await self._new_versions(record.business_time)
        if number == trouble.begins:
            patch = self._broken.enter_context(pytest.MonkeyPatch.context())
            for name in trouble.failing:
                patch.setattr(*FAILING[name], None)
        if number == trouble.begins + trouble.ends:
            await self._relieve()
        if number == trouble.begins + trouble.ends + trouble.released:
            await self._release_all()

    async def comes_to_an_end(self, read: Sequence[InputRecord]) -> None:
        end = max((record.business_time for record in read if record.business_time), default=None)
        if end is not None:
            await self._decides.until(end + timedelta(hours=1))
        await self._relieve()
        await self._release_all()
        if end is not None:
            await self._decides.until(end + timedelta(days=400))
        await self._release_all()
        await self._decides.commit()
        assert self._decides.writer.parked == {}

    async def _relieve(self) -> None:
        self._broken.close()
        await self._decides.commit()
        await self._decides.restart(grace=timedelta(seconds=self._trouble.grace_seconds))

    async def _release_all(self) -> None:
        for key in list(self._decides.writer.parked):
            await self._release(key)

    async def _release(self, key: ParkedKey) -> None:
        self._commands += 1
        arguments = json.dumps({"scope": key.scope, "key": key.key})
        command = OpenCommand(UUID(int=self._commands), "parked-release", arguments, "ann", "repaired", START)
        self._store.commands[command.id] = command
        done = await CommandRunner(self._decides.writer).run(read_command(command))
        assert done.reason in {"released", "not-parked"}

    async def _new_versions(self, business_time: datetime | None) -> None:
        """Versions that begin before business time are refused by the worker: they are left out."""
        new = [one for one in self._book.versions[1:] if business_time is None or one.effective_from > business_time]
        await self._decides.commit()
        await self._decides.restart(policies=PolicyBook([self._book.versions[0], *new]))
        await add_versions(self._decides, new)


async def add_versions(decides: Deciding, versions: Sequence[Any]) -> None:
    decides.add_policies(versions)
    await decides.writer.advance({})
    await decides.commit()
