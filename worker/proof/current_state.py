"""Comparing rows of current state with what the recorded decisions make: after a part was decided again.

Row by row and column by column. What could not be decided again to the end is counted, and not compared.
"""

from collections.abc import AsyncIterator, Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, Protocol, TypeVar

import msgspec

from worker.domain.model import ChargeKey, FreelancerId, JobId, Membership, ProposalId
from worker.domain.state import Due
from worker.ledger.membership_rows import charge_row, membership_row
from worker.ledger.rows import closure_row, lot_row, spend_row
from worker.ledger.tables import (
    AwaitingRow,
    ChargeRow,
    ClosureRow,
    HeldRow,
    HireRow,
    LotRow,
    MembershipRow,
    ParkedTriggerRow,
    SpendRow,
)
from worker.proof.again import Again
from worker.proof.findings import RowFinding

_AT_ONCE: Final = 500
"""Of how many freelancers, jobs or proposals rows are read at once."""
_JSON: Final = frozenset({"draws", "suspensions", "promos"})
_WORKED: Final = frozenset({"settled", "settled_through", "returned_any"})
"""What batches before 0.2.0 did not record of closures."""
_KEYS: Final[Mapping[str, Sequence[str]]] = {
    "lots": ("lot_id",),
    "spends": ("proposal_id",),
    "memberships": ("freelancer_id",),
    "charges": ("freelancer_id", "charge_id"),
    "held": ("decision_seq",),
    "awaiting": ("proposal_id", "decision_seq"),
    "closures": ("job_id", "closed_at", "closure"),
    "hires": ("job_id",),
    "due": ("kind", "key"),
    "parked_triggers": ("decision_seq",),
}
_decode: Final = msgspec.json.Decoder(list[Any]).decode

Row = Any
"""A row of any of these tables."""
Item = TypeVar("Item")


class StateRows(Protocol):
    """Reads rows of current state, all of one instant."""

    async def lots(self, freelancers: Sequence[FreelancerId]) -> list[LotRow]:
        """All lots of these freelancers."""
        ...

    async def spends(self, proposals: Sequence[ProposalId]) -> list[SpendRow]:
        """The spends of these proposals."""
        ...

    async def memberships(self, freelancers: Sequence[FreelancerId]) -> list[MembershipRow]:
        """The memberships of these freelancers."""
        ...

    async def charges(self, keys: Sequence[ChargeKey]) -> list[ChargeRow]:
        """These charges."""
        ...

    async def held(self, freelancers: Sequence[FreelancerId]) -> list[HeldRow]:
        """The events of these freelancers that cannot count yet."""
        ...

    async def awaiting(self, proposals: Sequence[ProposalId]) -> list[AwaitingRow]:
        """What waits for these proposals."""
        ...

    async def closures(self, jobs: Sequence[JobId]) -> list[ClosureRow]:
        """The closures of these jobs."""
        ...

    async def hires(self, jobs: Sequence[JobId]) -> list[HireRow]:
        """The first hires of these jobs."""
        ...

    async def due(self, keys: Sequence[str]) -> list[Due]:
        """The work of the schedule under these keys."""
        ...

    async def parked_triggers(self, seqs: Sequence[int]) -> list[ParkedTriggerRow]:
        """Those of these triggers that wait."""
        ...


async def compare(again: Again, rows: StateRows) -> None:
    """Compare all rows of what a part is about; `again` has decided it up to the instant of the rows, and counts them.

    Raises:
        Transient: the ledger is away.
    """
    async for table, expected, found in _pages(again, rows):
        left_out = _WORKED if table == "closures" and again.tally.older else frozenset[str]()
        again.tally.compared += max(len(expected), len(found))
        for row in differing(table, expected, found, left_out):
            again.tally.add_row(row)


async def _pages(again: Again, rows: StateRows) -> AsyncIterator[tuple[str, list[Row], list[Row]]]:
    """Some rows of a table as they should be and as they are, page by page."""
    state, scope = again.state, again.scope
    wallets = scope.freelancers - scope.stopped
    members = wallets - scope.without_membership
    again.tally.not_compared += len(scope.freelancers) - len(members) + len(scope.jobs & scope.stopped_jobs)
    for some in _in_order(wallets):
        yield "lots", _lots(again, some), await rows.lots(some)
    for some in _in_order(members):
        yield "memberships", _memberships(again, some), await rows.memberships(some)
        held = [HeldRow(one.decision_seq, one.freelancer_id) for name in some for one in state.held.get(name, ())]
        yield "held", held, await rows.held(some)
    async for page in _by_proposal(again, rows, wallets):
        yield page
    charges = {charge.key: charge for charge in state.charges.values() if charge.freelancer_id in members}
    for keys in _in_order(charges):
        yield "charges", [charge_row(charges[key]) for key in keys], await rows.charges(keys)
    for jobs in _in_order(scope.jobs - scope.stopped_jobs):
        known = [state.jobs[job] for job in jobs if job in state.jobs]
        closures = [closure_row(closure) for job in known for closure in job.closures]
        yield "closures", closures, await rows.closures(jobs)
        hires = [HireRow(job.job_id, job.first_hired_at) for job in known if job.first_hired_at is not None]
        yield "hires", hires, [row for row in await rows.hires(jobs) if row.first_hired_at is not None]
        is_known = not again.tally.older  # else nothing says how far closures of earlier releases are worked off
        open_ones = [closure for job in known for closure in job.closures if is_known and not closure.settled]
        due = [Due(one.due_at, "settlement", str(one.decision_seq)) for one in open_ones]
        yield "due", due, await rows.due([one.key for one in due])
    for seqs in _in_order(again.groups.parked):
        waiting = await rows.parked_triggers(seqs)
        known_by = {row.decision_seq: row for row in waiting}
        expected = [known_by.get(seq, ParkedTriggerRow(seq, "wallet or job", "stopped")) for seq in seqs]
        yield "parked_triggers", expected, waiting


async def _by_proposal(
    again: Again, rows: StateRows, wallets: Container[str]
) -> AsyncIterator[tuple[str, list[Row], list[Row]]]:
    """The spends of these wallets, and what waits for proposals of theirs."""
    spends = {one.proposal_id: one for one in again.state.spends.values() if one.freelancer_id in wallets}
    for some in _in_order(spends):
        yield "spends", [spend_row(spends[name]) for name in some], await rows.spends(some)
    if not again.tally.older:
        late = [
            Due(due_at, "late-settlement", f"{closure_seq}/{proposal_id}")
            for (closure_seq, proposal_id), due_at in again.late_settlements.items()
            if proposal_id in spends
        ]
        for some_due in _in_order(late):
            yield "due", some_due, await rows.due([one.key for one in some_due])
    waiting = again.state.awaiting
    for some in _in_order(name for name, those in waiting.items() if those):
        came = {row.proposal_id for row in await rows.spends(some)}  # of another part's wallet: nothing waits any more
        mine = [one for name in some if name not in came for one in waiting[name] if one.freelancer_id in wallets]
        expected = [AwaitingRow(one.proposal_id, one.decision_seq) for one in mine]
        # Something of another part's wallet may wait for the same proposal: that is compared there.
        yield "awaiting", expected, [row for row in await rows.awaiting(some) if row in expected]


def _lots(again: Again, freelancers: Sequence[FreelancerId]) -> list[LotRow]:
    """All lots of these freelancers: those with something in them, drained ones, and those that have ended."""
    wallets = [again.state.wallets[name] for name in freelancers if name in again.state.wallets]
    return [lot_row(lot) for wallet in wallets for lot in (*wallet.lots, *wallet.drained.values())] + [
        lot_row(lot) for name in freelancers for lot in again.scope.ended.get(name, {}).values()
    ]


def _memberships(again: Again, freelancers: Sequence[FreelancerId]) -> list[MembershipRow]:
    """The memberships of these freelancers; one of which nothing was ever decided has no row."""
    known = [again.state.memberships[name] for name in freelancers if name in again.state.memberships]
    made = [membership_row(membership) for membership in known]
    return [row for row in made if row != membership_row(Membership(row.freelancer_id))]


def differing(
    table: str, expected: Iterable[Row], found: Iterable[Row], left_out: Container[str] = frozenset()
) -> Iterator[RowFinding]:
    """Which rows of a table are missing, should not be there, or have another value, in the order of their keys."""
    key = attrgetter(*_KEYS[table])
    should_be, are = ({key(row): row for row in rows} for rows in (expected, found))
    if should_be == are:
        return
    for name in sorted({**should_be, **are}, key=str):
        wanted, row = should_be.get(name), are.get(name)
        if row is None:
            yield RowFinding(table, _text(name), f"the row is missing; it should be {_short(wanted)}")
        elif wanted is None:
            yield RowFinding(table, _text(name), f"the row should not be there: {_short(row)}")
        elif differs := [*_columns(wanted, row, left_out)]:
            yield RowFinding(table, _text(name), "; ".join(differs))


def _columns(wanted: Row, row: Row, left_out: Container[str]) -> Iterator[str]:
    for column, should_be, value in zip(wanted._fields, wanted, row, strict=True):
        if value == should_be or column in left_out:
            continue
        if column in _JSON and _parts(value) == _parts(should_be):
            continue
        yield f"{column} is {_in_words(value)}, should be {_in_words(should_be)}"


def _parts(text: str) -> list[str] | None:
    """What a JSON array has, in an order of its own; None: it is not one."""
    try:
        return sorted(map(str, _decode(text)))
    except msgspec.MsgspecError:
        return None


def _text(key: object) -> str:
    return ", ".join(map(_in_words, key)) if isinstance(key, tuple) else str(key)


def _short(row: Row) -> str:
    return ", ".join(f"{column} {_in_words(value)}" for column, value in zip(row._fields, row, strict=True))


def _in_words(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return "nothing" if value is None else str(value)


def _in_order(names: Iterable[Item]) -> Iterator[list[Item]]:
    ordered = sorted(names)  # type: ignore[type-var]
    for first in range(0, len(ordered), _AT_ONCE):
        yield ordered[first : first + _AT_ONCE]
