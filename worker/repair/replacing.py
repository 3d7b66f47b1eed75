"""Which events can be given other content, and what the ledger says of the decisions on them."""

from typing import Final

from schemas.base import InputEvent
from schemas.reading import InvalidEvent, canonical_json, read_event
from worker.domain.decide import subject_of
from worker.domain.rule_catalogue import RULES
from worker.domain.rules import grants
from worker.domain.rules.replaces import ToReplace
from worker.domain.rules.spends import SPEND
from worker.domain.rules.undos import UNDO
from worker.ledger.store import FirstDecision
from worker.ledger.tables import DecisionRow
from worker.repair.voiding import ADJUST_DIFFERENCE, NOTHING_DONE, OF_JOBS, Record, Refused, number_in, to_void
from worker.repair.voiding import refusal as void_refusal

REPLACEABLE: Final = frozenset({grants.BADGE, grants.CERTIFICATION, grants.PURCHASE, grants.ADJUST, SPEND})
"""The rules whose events can be given other content."""
_NOT_YET: Final = "not-replaced-yet: a later release will do it"
_OTHERS: Final = Refused("events of other kinds", _NOT_YET, ADJUST_DIFFERENCE)
_NO_EFFECT: Final = Refused(
    "events that were refused",
    "not-replaced-yet: they changed nothing, so there is no difference to book",
    "Send them with their right content under new event ids",
)
_OTHER_SUBJECT: Final = Refused(
    "events that would be about something else",
    "their right content names another freelancer, job, proposal, purchase or the like",
    "Void the events, and add the right ones under new event ids",
)
_REPLACED_BEFORE: Final = Refused(
    "events that were replaced before, with other content again",
    "not-replaced-yet: a grant is given other content once",
    ADJUST_DIFFERENCE,
)
_KEPT: Final = Refused(
    "events whose replacement was undone, and not all was there to be taken back",
    "what the undo could not take would be given a second time",
    ADJUST_DIFFERENCE,
)
_INVALID: Final = Refused("events that are not valid", "their right content cannot be read", "Correct the file")
_NO_EVENT: Final = Refused(
    "decisions that are not on an event itself",
    "what follows from an event, and one that waited behind a parked wallet, is not replaced",
    "Select the events",
)
NEVER_DECIDED: Final = Refused(
    "events that were never decided",
    "there is nothing to replace",
    "Add them, with `connects replay plan --add`",
)


def refusal(row: DecisionRow, first: FirstDecision, event: InputEvent) -> Refused | None:
    """Why this event cannot be given that content; None: it can."""
    if row.outcome == "declined" and row.rule in REPLACEABLE:
        return _NO_EFFECT
    if (refused := void_refusal(row)) is not None:
        return _NO_EFFECT if refused is NOTHING_DONE else _OTHERS
    if row.topic in OF_JOBS or row.rule not in REPLACEABLE or row.payload is None:
        return _OTHERS
    was = read_event(first.topic, row.payload)
    card = RULES[first.topic]
    if (
        was.event_id != event.event_id
        or subject_of(was) != subject_of(event)
        or card.facts_of(was) != card.facts_of(event)
    ):
        return _OTHER_SUBJECT
    if first.is_replaced and row.rule != SPEND:
        return _REPLACED_BEFORE
    return None


def is_no_event(row: DecisionRow) -> Refused | None:
    """Why a decision is none on an event that was taken, so that nothing of it can be replaced; None: it is."""
    if row.kind not in {"first", "added"} or row.outcome == "parked":
        return _NO_EVENT
    return NOTHING_DONE if row.outcome in {"duplicate", "rejected"} else None


async def read_to_replace(record: Record, seq: int, content: bytes) -> ToReplace | Refused:
    """What the ledger says of a decision whose event is to have this content.

    Raises:
        Transient: the ledger is away.
    """
    found, first = await record.in_full(seq), (await record.first_decisions([seq])).get(seq)
    if found is None or first is None:
        return NEVER_DECIDED
    try:
        event = read_event(first.topic, content)
    except InvalidEvent:
        return _INVALID
    if (refused := refusal(found[0], first, event)) is not None:
        return refused
    if first.replaced and found[0].rule != SPEND and await _kept_of_undone(record, first):
        return _KEPT
    what = await to_void(record, *found, first)
    if isinstance(what, Refused):
        return what
    return ToReplace(what, (first.stands or b"").decode())


async def _kept_of_undone(record: Record, first: FirstDecision) -> int:
    """The Connects that replacements had given, and that their undos could not take."""
    found = [await record.in_full(seq) for seq, _ in first.replaced]
    undos = [one[0] for one in found if one is not None and one[0].rule == UNDO]
    return sum(number_in(row, name) for row in undos for name in ("shortfall", "gone"))


def says_the_same(one: bytes | None, other: bytes | None) -> bool:
    """Whether two contents of an event are the same, however they are written."""
    return one is not None and other is not None and (one == other or canonical_json(one) == canonical_json(other))
