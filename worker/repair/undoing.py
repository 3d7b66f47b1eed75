"""Which decisions of a plan can be undone, and what the ledger says became of them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec

from schemas.proposals import ProposalSubmitted
from schemas.reading import read_event
from worker.domain.model import (
    FreelancerId,
    Grant,
    JobId,
    LineName,
    Lot,
    LotId,
    ProposalId,
    natural_key_of,
)
from worker.domain.rules.corrections import TAKEN_BACK
from worker.domain.rules.refunds import CLAW_BACK, OUTBID, SETTLEMENT
from worker.domain.rules.spends import SPEND, lines_of
from worker.domain.rules.undone import (
    ToUndo,
    UndoneAdd,
    UndoneForgetting,
    UndoneSettle,
    UndoneSpendVoid,
    UndoneTold,
    UndoneVoid,
)
from worker.domain.rules.undos import UNDO
from worker.domain.rules.voids import ToVoid
from worker.ledger.rows import facts_in, movements_in
from worker.ledger.tables import ChangeRow, DecisionRow
from worker.proof.identity import lots_opened
from worker.repair.forgetting import voided_among
from worker.repair.plan import Correction, Decide, Replace, Settle, Void, correction_in
from worker.repair.registering import has_begun
from worker.repair.told import is_mismatch
from worker.repair.undoing_amounts import amended, given_into, replaced
from worker.repair.voiding import NOTHING_DONE, UNKNOWN, Record, Refused, number_in, read_to_void, refusal

_BY_HAND: Final = "Send a connects-adjusted event for what it did, or the event that sets it right"
_NOT_YET: Final = "not-undone-yet: a later release will do it"
LATER_STANDS: Final = Refused(
    "decisions that were corrected again later",
    "a later correction of the same grant, proposal or job counts, and would lose what it rests on",
    "Undo the plan of that correction first (`connects explain` names it), then plan this again",
)
KEY_IN_USE: Final = Refused(
    "voids whose natural key or proposal id was used since",
    "another grant or proposal has it, and both cannot count",
    "Void that one first, or leave it as it is",
)
BEGUN_SINCE: Final = Refused(
    "voids of registrations after which the membership began again",
    "a plan was chosen since, and the membership is what came of that",
    "Send a connects-adjusted event for the Connects of the registration",
)
CHANGED_SINCE: Final = Refused(
    "corrections after which events changed the same proposal",
    "an outbid, a settlement or a hire moved the same Connects, or another freelancer named the proposal",
    "Look at `connects explain --proposal`, and send a connects-adjusted event for what is still wrong",
)
UNDONE_BEFORE: Final = Refused("decisions that were undone before", "each is undone once", "Nothing has to be done")
NOT_UNDONE: Final = Refused("undos", "an undo is not undone", "Make the first plan again, and apply it")
NOTHING_TO_UNDO: Final = frozenset({NOTHING_DONE, UNDONE_BEFORE})
"""Why nothing has to be done for a decision."""
_FORGOTTEN: Final = Refused("closures, hires, withdrawals and outbids", _NOT_YET, _BY_HAND)
OTHER_KINDS: Final[Mapping[str, Refused]] = {"undo": NOT_UNDONE}
"""Kinds of triggers that are not undone, and why."""
_MOVE_LINES: Final = frozenset({SETTLEMENT, OUTBID, CLAW_BACK})
"""Rules by which lines come back, or are charged again, without a plan."""


class Undoable(Record, Protocol):
    """What is asked of a ledger about a decision that is to be undone; see `Store`."""

    async def settled_by(self, job_id: JobId, proposal_id: ProposalId) -> list[tuple[int, int]]:
        """The settlements of a spend on a job: the decision of each one's closure, and its own."""
        ...

    async def grants(self, keys: Iterable[tuple[str, str]]) -> list[Grant]:
        """Grants made under these (rule, natural key); of a key that was freed by a void one that does not stand."""
        ...

    async def lots(self, ids: Sequence[tuple[FreelancerId, LotId]]) -> list[Lot]:
        """The lots of these freelancers and ids that exist."""
        ...


async def read_to_undo(record: Undoable, seq: int) -> ToUndo | Refused:
    """What the ledger says of a decision of a plan that is to be undone.

    Raises:
        Transient: the ledger is away.
    """
    found = await record.in_full(seq)
    if found is None or found[0].kind not in {"added", "correction"}:
        return UNKNOWN
    row, changes = found
    later = await _later(record, row)
    if any(one.rule == UNDO and one.follows == seq for one in later):
        return UNDONE_BEFORE
    if await _is_corrected_again(record, row, later):
        return LATER_STANDS
    return await _read(record, row, changes, later)


async def _read(
    record: Undoable, row: DecisionRow, changes: Sequence[ChangeRow], later: Sequence[DecisionRow]
) -> ToUndo | Refused:
    """The same of a decision after which no correction stands in the way, by its kind."""
    if row.kind == "added":
        return await _added(record, row)
    correction = correction_in(row.payload or b"")
    if isinstance(correction, Settle):
        return await _settled(record, row, correction, changes, later)
    if isinstance(correction, Decide):
        return await amended(record, row, correction, changes)
    if isinstance(correction, Replace):
        return await replaced(record, row, correction, changes)
    return await _voided(record, row, correction, changes, later) if isinstance(correction, Void) else NOT_UNDONE


async def _later(record: Undoable, row: DecisionRow) -> list[DecisionRow]:
    """The later decisions that follow this one, and those about the same proposal, or the same grant.

    Not all about the same job or closure: of each of its proposals, which may be very many, a plan booked something.
    """
    keys = [f"s:{row.seq}"]
    if row.proposal_id is not None:
        keys.append(f"p:{row.proposal_id}")
    elif row.kind == "correction":
        keys.append(f"s:{row.follows}")
    return await record.mentioned(keys, row.seq)


async def _is_corrected_again(record: Undoable, row: DecisionRow, later: Sequence[DecisionRow]) -> bool:
    """Whether a later correction of the same grant or proposal counts: it was not undone."""
    seqs = [one.seq for one in later if one.kind == "correction" and one.rule != UNDO]
    if not seqs:
        return False
    undone = {one.follows for one in await record.mentioned([f"s:{seq}" for seq in seqs], row.seq) if one.rule == UNDO}
    return any(seq not in undone for seq in seqs)


# What was added.


async def _added(record: Undoable, row: DecisionRow) -> ToUndo | Refused:
    if (refused := refusal(row)) is not None:
        return _not_undone(refused)
    what = await read_to_void(record, row.seq)
    if isinstance(what, Refused):
        return _not_undone(what)
    if what.topic:
        return _not_undone(_FORGOTTEN)
    if any((one.freelancer_id, one.job_id) != (what.freelancer_id, what.job_id) for one in what.awaited):
        return CHANGED_SINCE
    named = (what.seq, what.event_id, what.rule, what.occurred_at, row.business_time or what.occurred_at)
    proposal_id = ProposalId(what.natural_key) if what.is_spend else None
    return ToUndo(*named, what.freelancer_id, what.job_id, proposal_id, what.about, UndoneAdd(what))


def _not_undone(refused: Refused) -> Refused:
    """Why an added event is not undone, of why it is not voided."""
    if refused == NOTHING_DONE:
        return refused
    return Refused(f"added events: {refused.what}", _NOT_YET, _BY_HAND)


# What was voided.


async def _voided(
    record: Undoable, row: DecisionRow, correction: Void, changes: Sequence[ChangeRow], later: Sequence[DecisionRow]
) -> ToUndo | Refused:
    what = correction.found
    if what is not None and what.topic:
        return await (_void_of_job if what.is_of_job else _void_of_told)(record, row, correction, what)
    if row.proposal_id:
        return await _void_of_spend(record, row, correction, changes, later)
    return await _void_of_grant(record, row, correction, changes)


async def _void_of_grant(
    record: Undoable, row: DecisionRow, correction: Void, changes: Sequence[ChangeRow]
) -> ToUndo | Refused:
    found = await record.in_full(row.follows or 0)
    if found is None or correction.found is None or row.business_time is None:
        return UNKNOWN
    granted, what = found[1][0], correction.found
    voided = natural_key_of(granted.natural_key or "")[1]
    known = await record.grants([(what.rule, what.natural_key)])
    if not known or known[0].stands or known[0].voided != voided + 1:
        return KEY_IN_USE
    if what.cycle is not None and await has_begun(record, what.freelancer_id):
        return BEGUN_SINCE
    opened = lots_opened(granted) if granted.delta > 0 else []
    undone = UndoneVoid(
        what.seq,
        what.rule,
        what.natural_key,
        voided,
        granted.delta,
        granted.occurred_at,
        number_in(row, "given"),
        number_in(row, "taken"),
        opened[0] if opened else None,
        await _end_of(record, granted, opened),
        given_into(changes),
        what.cycle,
    )
    return _to_undo(row, correction, undone)


async def _void_of_job(record: Undoable, row: DecisionRow, correction: Void, what: ToVoid) -> ToUndo | Refused:
    job_id = JobId(what.job_id or "")
    since = [one for one in await record.mentioned([f"j:{job_id}"], row.seq) if one.freelancer_id is None]
    if voided_among(since):
        return LATER_STANDS
    closures = (await record.jobs([job_id]))[job_id].closures
    mine = next((one for one in closures if one.decision_seq == what.closure_seq), None)
    others = (one for one in closures if mine is not None and not one.voided and one is not mine)
    if mine is not None and any((one.closed_at, one.kind) == (mine.closed_at, mine.kind) for one in others):
        return KEY_IN_USE
    hired_at = what.occurred_at if what.topic == "hire-made" else None
    topic: Literal["job-closed", "hire-made"] = "job-closed" if hired_at is None else "hire-made"
    return _to_undo(row, correction, UndoneForgetting(what.seq, topic, what.closure_seq, hired_at))


async def _void_of_told(record: Undoable, row: DecisionRow, correction: Void, what: ToVoid) -> ToUndo | Refused:
    (told,) = what.awaited
    await record.naming(told.proposal_id)  # it may wait again
    for spend in await record.spends([told.proposal_id]):
        if told.is_outbid and told.names(spend) and spend.boost in spend.open_lines:
            return CHANGED_SINCE
    return _to_undo(row, correction, UndoneTold(told, await is_mismatch(record, told)))


async def _end_of(record: Undoable, granted: ChangeRow, opened: Sequence[LotId]) -> datetime | None:
    """When the lot ends that a grant opened."""
    lots = await record.lots([(granted.freelancer_id, lot_id) for lot_id in opened[:1]]) if opened else []
    return lots[0].expires_at if lots else None


async def _void_of_spend(
    record: Undoable,
    row: DecisionRow,
    correction: Void,
    changes: Sequence[ChangeRow],
    later: Sequence[DecisionRow],
) -> ToUndo | Refused:
    found = await record.in_full(row.follows or 0)
    proposal_id, job_id = row.proposal_id, row.job_id
    if found is None or correction.found is None or proposal_id is None or job_id is None:
        return UNKNOWN
    if await record.spends([proposal_id]):
        return KEY_IN_USE
    named = (one for one in later if one.proposal_id == proposal_id and one.topic is not None)
    if not all(_is_withdrawal_of(one, row) for one in named):
        return CHANGED_SINCE
    made = found[0]
    event = await _content(record, made)
    if event is None:
        return UNKNOWN
    base, boost = lines_of(event)
    settled = await record.settled_by(job_id, proposal_id)
    undone = UndoneSpendVoid(
        made.seq,
        base.connects,
        boost.connects,
        event.origin,
        _lines(changes, proposal_id, returned=True),
        _instant(row, "closed_at"),
        await _place(record, job_id, made.seq),
        given_into(changes),
        [closure_seq for closure_seq, seq in settled if made.seq < seq < row.seq],
    )
    return msgspec.structs.replace(_to_undo(row, correction, undone), occurred_at=event.occurred_at)


async def _content(record: Undoable, made: DecisionRow) -> ProposalSubmitted | None:
    """What the event said that submitted a proposal, by the content that counts: it may have been replaced."""
    value = (await record.first_decisions([made.seq]))[made.seq].stands
    if value is None and made.follows is not None:  # it was parked, and that decision has it
        parked = await record.in_full(made.follows)
        value = None if parked is None else parked[0].payload
    event = read_event(made.topic or "", value)
    return event if isinstance(event, ProposalSubmitted) else None


def _is_withdrawal_of(one: DecisionRow, row: DecisionRow) -> bool:
    """Whether it is a withdrawal of the proposal by its own freelancer: that counts again with the proposal."""
    is_mine = (one.freelancer_id, one.job_id) == (row.freelancer_id, row.job_id)
    return (one.topic == "proposal-withdrawn" and is_mine) or one.outcome in {"duplicate", "rejected"}


async def _place(record: Undoable, job_id: JobId, seq: int) -> int:
    """How many proposals on a job were decided before a decision; found by bisection."""
    names = (await record.jobs([job_id]))[job_id].proposal_ids
    low, high = 0, len(names)
    while low < high:
        middle = (low + high) // 2
        (spend,) = await record.spends([names[middle]])
        low, high = (middle + 1, high) if spend.decision_seq < seq else (low, middle)
    return low


# What was settled again.


async def _settled(
    record: Undoable,
    row: DecisionRow,
    correction: Settle,
    changes: Sequence[ChangeRow],
    later: Sequence[DecisionRow],
) -> ToUndo | Refused:
    proposal_id = row.proposal_id or ProposalId("")
    facts = facts_in(row.facts)
    give = _lines([one for one in changes if one.reason == TAKEN_BACK], proposal_id, returned=False)
    charge: list[LineName] = [name for name in ("base", "boost") if name in facts and name not in give]
    moved = await record.moved_since(changes[-1].freelancer_id, changes[-1].version + 1)
    since = (one for _, rule, movements in moved if rule in _MOVE_LINES for one in movements_in(movements))
    if any(of == proposal_id and line in {*give, *charge} for _, of, line, _ in since):
        return CHANGED_SINCE
    if any(one.topic == "boost-outbid" and one.outcome not in {"duplicate", "rejected"} for one in later):
        return CHANGED_SINCE
    if charge and await _was_found_returned(record, row):
        return CHANGED_SINCE
    closed_at = _instant(row, "closed_at") if give else None
    return _to_undo(row, correction, UndoneSettle(charge, give, closed_at, given_into(changes)))


async def _was_found_returned(record: Undoable, row: DecisionRow) -> bool:
    """Whether a closure settled the spend since, and found that all had come back: it is not settled again."""
    if row.job_id is None or row.proposal_id is None:
        return False
    return any(seq > row.seq for _, seq in await record.settled_by(JobId(row.job_id), ProposalId(row.proposal_id)))


def _to_undo(
    row: DecisionRow,
    correction: Correction,
    what: UndoneVoid | UndoneSpendVoid | UndoneForgetting | UndoneTold | UndoneSettle,
) -> ToUndo:
    if row.business_time is None:
        raise AssertionError(f"correction {row.seq} has no instant")
    found = correction.found if isinstance(correction, Void) else None
    about = {"job_id": row.job_id or "", "proposal_id": row.proposal_id or ""} if found is None else found.about
    rule = SPEND if found is None else found.rule
    at = row.business_time if found is None else found.occurred_at
    named = (row.seq, correction.corrects[0], rule, at, row.business_time)
    return ToUndo(*named, FreelancerId(row.freelancer_id or ""), row.job_id, row.proposal_id, about, what)


def _lines(changes: Sequence[ChangeRow], proposal_id: ProposalId, *, returned: bool) -> list[LineName]:
    """The lines of a proposal that changes returned, or charged again."""
    moved = [one for change in changes for one in movements_in(change.movements)]
    names = {line for _, of, line, delta in moved if of == proposal_id and (delta > 0) == returned}
    return [name for name in ("base", "boost") if name in names]


def _instant(row: DecisionRow, name: str) -> datetime | None:
    text = facts_in(row.facts).get(name)
    return None if text is None else msgspec.convert(text, datetime)
