"""Comparing a decision as it is taken today with the recorded one, column by column. Sentences are compared apart."""

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec

from worker.domain.decisions import Change, Decision
from worker.domain.model import Charge, Lot
from worker.domain.state import Changed
from worker.ledger.rows import decided_columns, membership_text, movements_text
from worker.ledger.tables import ChangeRow, DecisionRow
from worker.proof.findings import Difference
from worker.proof.recorded import Recorded

_decode: Final = msgspec.json.Decoder().decode
_FROM, _TO = DecisionRow._fields.index("kind"), DecisionRow._fields.index("recorded_at")
_COMPARED: Final = DecisionRow._fields[_FROM:_TO]
"""From `kind` to `business_time`: not the place in ledger order, when it was written, nor what it answers."""
_OF_A_CHANGE: Final = tuple(
    name
    for name in ChangeRow._fields
    if name not in {"decision_seq", "ordinal", "recorded_at", "explanation", "movements"}
)
_of_a_change: Final[Callable[[ChangeRow], tuple[object, ...]]] = itemgetter(*map(ChangeRow._fields.index, _OF_A_CHANGE))
_OF_A_CHARGE: Final = tuple(name for name in Charge.__struct_fields__ if name not in {"decision_seq", "status"})
MEMBERSHIP: Final = "membership_updated"
_FACTS, _LATE, _CLAWED_BACK = "facts", "late_by_seconds", "clawed_back"


def differences(decided: Decision, recorded: Recorded, *, sums: bool = True) -> list[Difference]:
    """What differs. Without `sums` the facts of a hire's whole sum are left out, which one wallet does not know."""
    then, now = recorded.row[_FROM:_TO], decided_columns(decided)
    found = [] if then == now else [*_columns_that_differ(then, now, recorded, sums=sums)]
    if decided.changes or recorded.changes:
        found += _changes(decided.changes, recorded)
    published = recorded.row.membership_updated
    if (decided.membership is not None or published is not None) and not recorded.batch.is_older:
        update = membership_text(decided)
        if update != published:
            found.append(Difference(MEMBERSHIP, published, update))
    return found


def charge_differences(decided: Charge, recorded: Charge) -> Iterator[Difference]:
    """What differs between a charge as it would be requested today and the one that was."""
    for name in _OF_A_CHARGE:
        then, now = getattr(recorded, name), getattr(decided, name)
        if then != now:
            yield Difference(f"charge.{name}", then, now)


def take_amount(decided: Charge, recorded: Charge) -> None:
    """Let a charge be of the recorded amount."""
    for name in ("amount_cents", "currency", "source", "promo_code", "requested_at"):
        setattr(decided, name, getattr(recorded, name))


def lot_differences(decided: Lot, recorded: Lot | None) -> list[Difference]:
    """What differs between a lot as it would be opened today and the one that was."""
    if recorded is None:
        return [Difference(f"lot {decided.lot_id}", None, decided.original)]
    then = (recorded.order, recorded.source, recorded.original, recorded.linked_to)
    now = (decided.order, decided.source, decided.original, decided.linked_to)
    if then == now:
        return []
    named = zip(("order", "source", "original", "linked_to"), then, now, strict=True)
    return [Difference(f"lot {decided.lot_id}: {name}", was, is_) for name, was, is_ in named if was != is_]


def opened_by(decided: Decision, changed: Changed) -> Iterator[Lot]:
    """The lots that a decision opened, of those that its trigger did."""
    moved = {movement.lot_id for change in decided.changes for movement in change.movements}
    return (lot for lot_id, lot in changed.new_lots.items() if lot_id in moved)


def sum_differs(recorded: Recorded) -> Iterator[Difference]:
    """A hire's sum of what was taken back, of all wallets together."""
    facts = recorded.row.facts
    if _CLAWED_BACK not in facts and "\\" not in facts:  # without an escape a name is in the text as it is
        return
    found = _decode(facts)
    taken = -recorded.connects_elsewhere - sum(change.delta for change in recorded.changes)
    if _CLAWED_BACK in found and found[_CLAWED_BACK] != taken:
        yield Difference(f"facts.{_CLAWED_BACK}", found[_CLAWED_BACK], taken)


def is_of_current_state(difference: Difference) -> bool:
    """Whether it is in the row of a lot or charge, which no hash is over, and not in the decision."""
    return difference.field.startswith(("lot ", "charge"))


def other_words(decided: Sequence[Change], recorded: Recorded) -> int:
    """How many changes would be told in another sentence today."""
    others = 0
    for now, then in zip(decided, recorded.changes, strict=False):
        others += now.explanation != then.explanation
    return others


def _columns_that_differ(
    then: tuple[object, ...], now: tuple[object, ...], recorded: Recorded, *, sums: bool
) -> Iterator[Difference]:
    for name, before, today in zip(_COMPARED, then, now, strict=True):
        if before == today or (name == _LATE and recorded.batch.is_older):
            continue
        if name == _FACTS:
            yield from _facts(str(before), str(today), sums=sums, older=recorded.batch.is_older)
        else:
            yield Difference(name, before, today)


def _facts(then: str, now: str, *, sums: bool, older: bool) -> Iterator[Difference]:
    """Facts that an earlier release did not record are not compared; the columns and changes that they explain are."""
    before, today = _decode(then), _decode(now)
    for name in {**before, **today}:
        if before.get(name) == today.get(name) and (name in before) == (name in today):
            continue
        if older and name not in before:
            continue
        if name == _CLAWED_BACK and not sums:
            continue
        yield Difference(f"facts.{name}", before.get(name), today.get(name))


def _changes(decided: Sequence[Change], recorded: Recorded) -> list[Difference]:
    found = []
    if len(decided) != len(recorded.changes):
        found.append(Difference("changes", _deltas(recorded.changes), _deltas(decided)))
    for place, (now, then) in enumerate(zip(decided, recorded.changes, strict=False)):
        moved = movements_text(now)
        if moved != then.movements or _of_a_change(then) != _as_decided(now):
            found += _change(place, now, then, moved)
    return found


def _as_decided(change: Change) -> tuple[object, ...]:
    """The columns `_OF_A_CHANGE`, spelled out: to look up each by its name in every change takes four times as long."""
    return (
        change.freelancer_id,
        change.version,
        change.occurred_at,
        change.rule,
        change.reason,
        change.policy_version,
        change.delta,
        change.debt_delta,
        change.balance_after,
        change.natural_key,
    )


def _change(place: int, now: Change, then: ChangeRow, moved: str) -> Iterator[Difference]:
    if moved != then.movements and _decode(moved) != _decode(then.movements):
        yield Difference(f"changes[{place}].movements", then.movements, moved)
    for name in _OF_A_CHANGE:
        if getattr(then, name) != getattr(now, name):
            yield Difference(f"changes[{place}].{name}", getattr(then, name), getattr(now, name))


def _deltas(changes: Sequence[Any]) -> str:
    return ", ".join(f"{change.freelancer_id} {change.delta:+}" for change in changes) or "none"
