"""Compares a recorded decision with the expected one, in words."""

from itertools import groupby, zip_longest
from typing import Any

from tests.model.answers import Row
from tests.model.model import ExpectedDecision
from tests.model.state import Change, Movement

NOT_COMPARED = {"command"}


def compare(expected: ExpectedDecision, row: Row, *, movements_in_order: bool = True) -> list[str]:
    """Differences, each with the decision's seq, its trigger and the field.

    Where the rules are silent nothing is compared, and nothing that a row does not have (`membership`, `charge`: what
    was published of the membership and which charge was requested, or None). The rule and policy version of a decision
    that changed nothing may be left out. Movements are compared step by step; with `movements_in_order=False` only by
    what they do in all to each lot and debt.
    """
    found = list(expected.problems)
    if row["kind"] not in NOT_COMPARED:
        found += _answers(expected, row)
        found += _changes(expected.changes, row["changes"], movements_in_order=movements_in_order)
        found += _differences_of_memberships(expected, row)
    return [f"{trigger(row)}: {difference}" for difference in found]


def trigger(row: Row) -> str:
    place = f" {row['topic']}/{row['partition']}@{row['offset']}" if row["topic"] else ""
    about = f" of {row['proposal_id']}" if row["kind"] == "settlement" else ""
    return f"seq {row['seq']}, {row['kind']}{place} {row['event_id']}{about}"


def _answers(expected: ExpectedDecision, row: Row) -> list[str]:
    found = []
    moved = bool(expected.changes)
    outcomes = {expected.outcome or row["outcome"]}
    if moved and expected.reason == "hire-after-settlement":
        outcomes.add("recorded")
    if row["outcome"] not in outcomes:
        answer = f"{expected.outcome} ({expected.reason})"
        found.append(_differs("outcome", answer, f"{row['outcome']} ({row['reason']})"))
    elif expected.reason not in {None, row["reason"]}:
        found.append(_differs("reason", expected.reason, row["reason"]))
    for name in ("rule", "policy_version"):
        allowed = {getattr(expected, name)} if moved else {getattr(expected, name), None}
        if getattr(expected, name) is not None and row[name] not in allowed:
            found.append(_differs(name, getattr(expected, name), row[name]))
    found += [_differs(name, value, row[name]) for name, value in expected.subject.items() if row[name] != value]
    return found + _lateness(expected, row)


def _lateness(expected: ExpectedDecision, row: Row) -> list[str]:
    if row["kind"] != "first" or expected.outcome in {"rejected", "duplicate"}:
        return []
    late, recorded = expected.late_by_seconds, row["late_by_seconds"]
    shown = late is not None and recorded is not None
    return (
        []
        if (abs(late - recorded) < 1e-6 if shown else late == recorded)
        else [_differs("late_by_seconds", late, recorded)]
    )


def _changes(expected: list[Change], recorded: list[dict[str, Any]], *, movements_in_order: bool) -> list[str]:
    found = []
    for number, (change, row) in enumerate(zip_longest(expected, recorded), 1):
        if change is None:
            found.append(f"change {number} should not be there: {row}")
        elif row is None:
            found.append(f"change {number} is missing: {change}")
        else:
            found += [f"change {number} {words}" for words in _change(change, row, movements_in_order)]
    return found


CHANGE_FIELDS = (
    "freelancer_id",
    "version",
    "occurred_at",
    "rule",
    "reason",
    "policy_version",
    "delta",
    "debt_delta",
    "balance_after",
)


def _change(change: Change, row: dict[str, Any], movements_in_order: bool) -> list[str]:  # noqa: FBT001
    found = [
        _differs(name, getattr(change, name), row[name]) for name in CHANGE_FIELDS if getattr(change, name) != row[name]
    ]
    summary = _in_steps if movements_in_order else _net
    expected, recorded = summary(change.movements), summary(row["movements"])
    if expected != recorded:
        found.append(_differs("movements", expected, recorded))
    return found


def _in_steps(movements: list[Movement]) -> list[Movement]:
    """Movements of one sign that follow each other, on lots or on debts, are one step: within it only sums count.

    The rules say which step comes first (in whole, then to the debts), not in which order one step fills its lots.
    """
    steps: list[Movement] = []
    for _, step in groupby(movements, key=lambda movement: (movement[0] is None, movement[2] > 0)):
        steps += _net(list(step))
    return steps


CHANGES_LATER = {"status"}


def _differences_of_memberships(expected: ExpectedDecision, row: Row) -> list[str]:
    shown = expected.membership._asdict() if expected.membership else None
    asked = vars(expected.charge) if expected.charge else None
    found = []
    for name, should_be in (("membership", shown), ("charge", asked)):
        if name in row and (should_be is None or row[name] is None):
            if should_be is not row[name]:
                found.append(_differs(name, should_be, row[name]))
        elif name in row:
            found += [
                _differs(f"{name}'s {part}", item, row[name][part])
                for part, item in should_be.items()
                if part in row[name] and part not in CHANGES_LATER and row[name][part] != item
            ]
    return found


def _net(movements: list[Movement]) -> list[Movement]:
    net: dict[tuple[str | None, tuple[str, str] | None], int] = {}
    for lot_id, line, delta in movements:
        about = (lot_id, None if lot_id else line)
        net[about] = net.get(about, 0) + delta
    return sorted(((*about, delta) for about, delta in net.items()), key=str)


def _differs(name: str, expected: object, recorded: object) -> str:
    return f"{name} should be {expected}, is {recorded}"
