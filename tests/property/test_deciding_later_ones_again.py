"""Decided again are only the decisions from a place in ledger order on, and those that they depend on.

What is found there is the same as when everything is decided, and so are the wallet, the membership, and what is known
of proposals and jobs.
"""

import asyncio
import random
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.histories import Record, listed
from tests.property.test_deciding_again import CHANGES_OF_RULES, IsTouched, decided, ledgers
from tests.property.test_writer_against_reference import Running, running
from tests.property.variety import POLICIES, any_histories, looking
from worker.domain.model import FreelancerId, JobId
from worker.domain.state import State
from worker.ledger.memory_store import MemoryStore
from worker.ledger.rows import movements_in
from worker.proof.again import Again
from worker.proof.findings import Finding
from worker.proof.left_out import LeftOut, Moved, Needed, Outline
from worker.proof.memory_reader import MemoryReader
from worker.proof.parts import Chunk, Part
from worker.proof.recorded import Recorded, is_of_job
from worker.proof.run import decide_needed

__all__ = ["ledgers"]
_PARTS = 2**31
"""So many that a part has one freelancer, and no job."""


class OfOne:
    """All decisions about one freelancer of a ledger in memory."""

    def __init__(self, store: MemoryStore, freelancer_id: FreelancerId) -> None:
        self._reader, self._freelancer_id = MemoryReader(store, 100_000), freelancer_id

    async def read(self) -> None:
        """Read them."""
        part = Part(crc32(self._freelancer_id.encode()) % _PARTS, _PARTS)
        (self._chunk,) = [one async for one in self._reader.chunks(part, await self._reader.end())]

    async def decide(self, kept: Iterable[Recorded], left_out: Sequence[LeftOut] = ()) -> tuple[Again, list[Finding]]:
        """Decide some of them again: as copies, for what is met is noted in them."""
        copies = [msgspec.structs.replace(one, changes=[*one.changes], lots={}) for one in kept]
        again, chunk = Again(), Chunk(copies, self._chunk.headers, self._chunk.through)
        return again, await decide_needed(self._reader, self._freelancer_id, chunk, left_out, again)

    async def whole(self) -> tuple[Again, list[Finding]]:
        """Decide all."""
        return await self.decide(self._chunk.decisions)

    async def later(self, first: int) -> tuple[Again, list[Finding], int]:
        """Decide those from a place on, with the others that are chosen of a ledger on PostgreSQL; how many are not."""
        mine = [one for one in self._chunk.decisions if one.is_mine or one.changes]
        outlines = [Outline(*(getattr(one.row, name) for name in Outline._fields)) for one in mine]
        needed = Needed(moved_by(mine))
        assert needed.find(outlines, first)
        spent = (one.row for one in mine if one.row.seq in needed.seqs and one.row.topic == "proposal-submitted")
        jobs = {row.job_id for row in spent}
        left_out = needed.left_out(outlines)
        again, found = await self.decide([one for one in self._chunk.decisions if is_kept(one, needed, jobs)], left_out)
        return again, found, len(left_out)


def is_kept(one: Recorded, needed: Needed, jobs: Container[JobId | None]) -> bool:
    return one.row.job_id in jobs if is_of_job(one.row) else one.row.seq in needed.seqs


def moved_by(decisions: Iterable[Recorded]) -> dict[int, list[Moved]]:
    moved: dict[int, list[Moved]] = {}
    for one in decisions:
        for change in one.changes:
            named = change._asdict() | {"movements": movements_in(change.movements)}
            moved.setdefault(one.row.seq, []).append(Moved(*(named[name] for name in Moved._fields)))
    return moved


async def compare(store: MemoryStore, seed: int, freelancers: int, places: int) -> int:
    """Compare for some freelancers and places; returns how many decisions were left out."""
    chosen, left_out = random.Random(seed), 0
    decisions: dict[FreelancerId, list[int]] = {}
    for row in store.tables.decisions:
        if row.freelancer_id is not None:
            decisions.setdefault(row.freelancer_id, []).append(row.seq)
    for freelancer_id in chosen.sample(sorted(decisions), min(freelancers, len(decisions))):
        one, seqs = OfOne(store, freelancer_id), decisions[freelancer_id]
        await one.read()
        expected, expected_findings = await one.whole()
        for first in chosen.sample(seqs, min(places, len(seqs))):
            again, findings, count = await one.later(first)
            told = f"{freelancer_id} from {first} on, {count} of {len(seqs)} left out"
            assert told_of(findings, first) == told_of(expected_findings, first), told
            assert_same(again.state, expected.state, freelancer_id, told)
            left_out += count
    return left_out


def told_of(findings: list[Finding], first: int) -> list[Finding]:
    """What is found from a place on, and what stops there what was found before."""
    return [one for one in findings if one.seq >= first or one.cause == "not-executable"]


def assert_same(state: State, expected: State, freelancer_id: FreelancerId, told: str) -> None:
    """Whatever is known is the same; what is not known was left out."""
    assert plain(state.wallet(freelancer_id)) == plain(expected.wallet(freelancer_id)), told
    for name in ("memberships", "charges", "held"):
        assert plain(getattr(state, name)) == plain(getattr(expected, name)), (name, told)
    for name in ("spends", "jobs"):
        known = plain(getattr(expected, name))
        assert {key: known.get(key) for key in getattr(state, name)} == plain(getattr(state, name)), (name, told)
    grants = {key: grant for key, grant in expected.grants.items() if grant.freelancer_id == freelancer_id}
    assert {key: grant for key, grant in state.grants.items() if grant.freelancer_id == freelancer_id} == grants, told


def plain(value: object) -> object:
    """An object of the state as something that is compared by its content."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    return {key: plain(one) for key, one in value.items()} if isinstance(value, Mapping) else repr(value)


@looking(examples=120)
@given(records=any_histories(), policy=st.sampled_from(sorted(POLICIES)), how=running, seed=st.integers(0, 99))
def test_the_same_is_decided_as_if_nothing_were_left_out(
    records: list[Record], policy: str, how: Running, seed: int
) -> None:
    async def search() -> None:
        store = await decided(records, policy, how)
        try:
            await compare(store, seed, 3, 2)
        except AssertionError as error:
            raise AssertionError(f"{error}\npolicy {policy!r}, {how}\n{listed(records)}") from error

    asyncio.run(search())


@pytest.mark.parametrize("which", ["month", "late month", "years"])
def test_of_a_marketplace_much_is_left_out(ledgers: dict[str, MemoryStore], which: str) -> None:
    assert asyncio.run(compare(ledgers[which], 1, 12, 3)) > 100


@pytest.mark.parametrize("change", CHANGES_OF_RULES)
def test_what_a_rule_that_was_changed_takes_otherwise_is_the_same(
    ledgers: dict[str, MemoryStore],
    change: Callable[[pytest.MonkeyPatch], IsTouched],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change(monkeypatch)
    assert asyncio.run(compare(ledgers[CHANGES_OF_RULES[change]], 1, 12, 2)) > 50
