"""What a step of a plan left behind: the wallets and jobs that it touched still are what their decisions make.

By the checks of `verify`, on a connection of their own and in short statements: nothing that live events wait for. All
wallets of a step are added up; some of them, and of its jobs, are decided again from their beginning.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from worker.domain.model import FreelancerId, JobId
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.proof.checks import Finding
from worker.proof.ledger_checks import findings_of
from worker.proof.movements_check import wallets_that_disagree
from worker.proof.parts import Part

_SQL: Final = load("state.sql")
_MOST_MOVED: Final = 20_000
"""A wallet with more changes is not added up after a step: `verify` does so."""
_MOST_AGAIN: Final = 2_000
"""A wallet with more changes, or a job with more proposals, is not decided again after a step."""
_WALLETS_AGAIN: Final = 10
_JOBS_AGAIN: Final = 5
_SECONDS_AGAIN: Final = 0.3
"""Deciding again ends after so long, but not before one of each."""


class StepChecked(msgspec.Struct):
    """What was checked of a step: its wallets and jobs, and how many of them were decided again. `wrong`: in words."""

    wallets: int = 0
    jobs: int = 0
    wallets_again: int = 0
    jobs_again: int = 0
    wrong: list[str] = []


class _Touched(NamedTuple):
    """A wallet or job that a step touched: its changes or proposals, and the step's first decision about it."""

    kind: str
    id: str
    size: int
    first_seq: int


async def check_step(connection: Connection, plan: str, first: int, last: int) -> StepChecked:
    """Check what the triggers of these numbers touched, those of them that were booked.

    Wrong are lots, debts and balances that the movements do not make, rows that the decisions do not make, and
    decisions from the step's first one on that today's rules take otherwise: what an earlier release decided is what
    plans are there for.

    Raises:
        Transient: the ledger is away.
    """
    rows = await connection.fetch(_SQL["touched_by_step"], plan, first, last, _MOST_AGAIN + 1)
    touched = [_Touched._make(row) for row in rows]
    wallets, jobs = ([one for one in touched if one.kind == kind] for kind in ("wallet", "job"))
    checked = StepChecked(len(wallets), len(jobs))
    added_up = [one.id for one in wallets if one.size <= _MOST_MOVED]
    checked.wrong += [in_words(one) async for one in wallets_that_disagree(connection, added_up)]
    until = time.monotonic() + _SECONDS_AGAIN
    for one in _some(wallets, last, _WALLETS_AGAIN, until):
        checked.wrong += await _again(connection, one, Part(freelancer=FreelancerId(one.id)))
        checked.wallets_again += 1
    for one in _some(jobs, last, _JOBS_AGAIN, until):
        checked.wrong += await _again(connection, one, Part(job=JobId(one.id)))
        checked.jobs_again += 1
    checked.wrong = list(dict.fromkeys(checked.wrong))
    return checked


def in_words(finding: Finding) -> str:
    """A finding in one line: where, and what."""
    place = finding.place
    return f"{place}: {finding.detail}" if place else finding.detail


def _some(touched: Iterable[_Touched], salt: int, most: int, until: float) -> Iterator[_Touched]:
    """Some of these that are not too large, others at each step; one, and then more until a monotonic time."""
    small = [one for one in touched if one.size <= _MOST_AGAIN]
    small.sort(key=lambda one: crc32(f"{salt}/{one.id}".encode()))
    for number, one in enumerate(small[:most]):
        if number and time.monotonic() > until:
            return
        yield one


async def _again(connection: Connection, touched: _Touched, part: Part) -> list[str]:
    found, _ = await findings_of(connection, part)
    return [in_words(one) for one in found if one.seq is None or one.seq >= touched.first_seq]
