"""What a correction of an amount has made good: of a decision that today's rules take otherwise, what is no finding."""

from collections.abc import Iterator, Sequence
from typing import Final

from worker.domain.decisions import Decision
from worker.proof.findings import Difference
from worker.proof.recorded import Recorded, amount_of, movements_of

_OF_THE_AMOUNT: Final = ("facts.", "changes")
_NATURAL_KEY: Final = ".natural_key"


def not_made_good(differs: Sequence[Difference], now: Decision, recorded: Recorded) -> Iterator[Difference]:
    """Those differences that are still there after a correction; all, if none amended it to just today's amount.

    One whose corrections were undone stands as it was booked, and so none of its differences is made good.

    An amount is made good, with the outcome, reason and facts that say it. Not made good are another natural key,
    another source or end of a lot, a charge, and the row of a lot that is not what the recorded change brought into it.
    """
    if not is_made_good(now, recorded):
        yield from differs
        return
    brought = {f"lot {name}": connects for name, connects in _brought(recorded).items()}
    for one in differs:
        if one.field in {"outcome", "reason"}:
            continue
        if one.field.startswith(_OF_THE_AMOUNT) and not one.field.endswith(_NATURAL_KEY):
            continue
        name, _, column = one.field.partition(": ")
        if name.startswith("lot ") and (
            name not in brought or (column == "original" and one.recorded == brought[name])
        ):
            continue
        yield one


def is_made_good(now: Decision, recorded: Recorded) -> bool:
    """Whether a correction amended a decision to the amount that today's rules give, and it was another one."""
    if recorded.amended is None:
        return False
    is_other = recorded.amended != amount_of(recorded.changes, recorded)
    return is_other and answers_the_same(now, recorded) and recorded.amended == amount_of(now.changes, recorded)


def answers_the_same(now: Decision, recorded: Recorded) -> bool:
    """Whether a decision that is taken today in the place of a recorded one answers the same event or instant."""
    return now.cause.event_id == recorded.row.event_id


def _brought(recorded: Recorded) -> dict[str, int]:
    """The Connects that its changes brought into each lot."""
    brought: dict[str, int] = {}
    for change in recorded.changes:
        for lot_id, _, _, delta in movements_of(change):
            if lot_id is not None and delta > 0:
                brought[lot_id] = brought.get(lot_id, 0) + delta
    return brought
