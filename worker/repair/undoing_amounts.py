"""What the ledger says of a correction of an amount, or of an event's content, that is to be undone."""

from collections.abc import Sequence
from typing import Final, Protocol

from worker.domain.model import FreelancerId, Lot, LotId
from worker.domain.rules.decides import Standing
from worker.domain.rules.undone import ToUndo, UndoneAmount, UndoneReplacement
from worker.ledger.rows import movements_in
from worker.ledger.tables import ChangeRow, DecisionRow
from worker.repair.plan import Decide, Replace
from worker.repair.voiding import UNKNOWN, Record, Refused, expired_of, number_in

PROPOSALS: Final = Refused(
    "proposals whose event the plan replaced",
    "not-undone-yet: what its job returns or does not return was settled by that content since",
    "Replace the event by the content that it had, with --replace: that plan books the difference, and settles it",
)


class WithLots(Record, Protocol):
    """What is asked of a ledger about a replacement that is to be undone; see `Store`."""

    async def lots(self, ids: Sequence[tuple[FreelancerId, LotId]]) -> list[Lot]:
        """The lots of these freelancers and ids that exist."""
        ...


async def amended(
    record: Record, row: DecisionRow, correction: Decide, changes: Sequence[ChangeRow]
) -> ToUndo | Refused:
    """What is to be undone of a correction of an amount, the last of its decision that counts.

    Raises:
        Transient: the ledger is away.
    """
    what, stood = correction.what, correction.standing
    if stood is None or row.business_time is None:
        return UNKNOWN
    now = await record.standing(what.seq, what.proposal_id)
    given = number_in(row, "given")
    undone = UndoneAmount(
        what,
        what.booked if stood.connects is None else stood.connects,
        stood.policy,
        _not_taken_by_others(now, row),
        given,
        number_in(row, "taken"),
        await expired_of(record, row.seq, what.freelancer_id) if given else 0,
        given_into(changes),
    )
    named = (row.seq, correction.corrects[0], what.rule, what.occurred_at, row.business_time)
    about = (("job_id", what.job_id), ("proposal_id", what.proposal_id))
    names = {name: str(value) for name, value in about if value is not None}
    return ToUndo(*named, what.freelancer_id, what.job_id, what.proposal_id, names, undone)


async def replaced(
    record: WithLots, row: DecisionRow, correction: Replace, changes: Sequence[ChangeRow]
) -> ToUndo | Refused:
    """What is to be undone of a replacement, the last of its event that counts.

    Raises:
        Transient: the ledger is away.
    """
    if correction.found is None or row.business_time is None:
        return UNKNOWN
    what, was = correction.found.what, correction.found.was
    if what.is_spend:
        return PROPOSALS
    given = number_in(row, "given")
    lots = await record.lots([(what.freelancer_id, lot_id) for lot_id in what.lots[:1]]) if what.lots else []
    undone = UndoneReplacement(
        was,
        what.connects,
        given,
        number_in(row, "taken"),
        await expired_of(record, row.seq, what.freelancer_id) if given else 0,
        given_into(changes),
        lots[0].lot_id if lots else None,
        lots[0].expires_at if lots else None,
    )
    named = (row.seq, correction.corrects[0], what.rule, what.occurred_at, row.business_time)
    return ToUndo(*named, what.freelancer_id, what.job_id, None, what.about, undone)


def _not_taken_by_others(now: Standing, row: DecisionRow) -> int:
    """Of what was not taken of a decision so far, all but what this correction added, or left out in return."""
    return now.not_taken - number_in(row, "gone") - number_in(row, "shortfall") + number_in(row, "set_off")


def given_into(changes: Sequence[ChangeRow]) -> list[LotId]:
    """The lots that changes gave Connects into."""
    moved = (one for change in changes for one in movements_in(change.movements))
    return list(dict.fromkeys(LotId(lot_id) for lot_id, _, _, delta in moved if lot_id is not None and delta > 0))
