"""Events of a history that come with wrong content, and what they should have said."""

import json
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.kit.histories import Record
from tests.kit.replaying import Event

Fields = dict[str, Any]


def _other_amount(fields: Fields, chance: random.Random) -> None:
    connects = fields["connects"]
    fields["connects"] = (1 if connects > 0 else -1) * chance.choice((1, 3, abs(connects) + 7, 2 * abs(connects)))


def _other_proposal(fields: Fields, chance: random.Random) -> None:
    """Another time, another cost, or both: then closures of its job may concern it that did not, or no more."""
    at = datetime.fromisoformat(fields["occurred_at"]) - timedelta(hours=chance.choice((-30, -2, 0, 0, 1, 30, 100)))
    fields["occurred_at"] = at.isoformat()
    if chance.random() < 0.3:
        return
    fields["connects"] = chance.choice((0, 1, fields["connects"] + 5, fields["connects"]))
    fields["boost_connects"] = chance.choice((0, 2, fields.get("boost_connects") or 0, 9))
    if chance.random() < 0.1:
        fields["origin"] = "invite" if fields["origin"] == "proposal" else "proposal"


WRONG: dict[str, Callable[[Fields, random.Random], None]] = {
    "connects-purchased": _other_amount,
    "connects-adjusted": _other_amount,
    "proposal-submitted": _other_proposal,
}


def made_wrong(records: Sequence[Record], chance: random.Random) -> tuple[list[Record], list[Event]]:
    """The records with some of them wrong, each time they come; and what these should have said."""
    values: dict[tuple[str, str], set[bytes]] = {}
    for topic, _, value, _ in records:
        if (fields := _fields(topic, value)) is not None:
            values.setdefault((topic, fields["event_id"]), set()).add(value or b"")
    wrong: dict[tuple[str, str], bytes] = {}
    right: list[Event] = []
    for (topic, event_id), said in sorted(values.items()):
        if len(said) > 1 or chance.random() < 0.6:
            continue  # of several contents the first one that comes counts
        fields = json.loads(next(iter(said)))
        other = dict(fields)
        WRONG[topic](other, chance)
        right.append((topic, fields))
        wrong[topic, event_id] = json.dumps(other).encode()
    changed = list[Record]()
    for topic, key, value, at in records:
        fields = _fields(topic, value)
        content = value if fields is None else wrong.get((topic, fields["event_id"]), value)
        changed.append((topic, key, content, at))
    return changed, right


def _fields(topic: str, value: bytes | None) -> Fields | None:
    """The fields of an event that may be wrong: a valid one, whose amount is not 0."""
    if topic not in WRONG or value is None:
        return None
    try:
        fields = json.loads(value)
        assert isinstance(fields["event_id"], str)
        assert type(fields["connects"]) is int
        assert topic == "proposal-submitted" or fields["connects"] != 0
        assert datetime.fromisoformat(fields["occurred_at"]).tzinfo is not None
    except (ValueError, KeyError, TypeError, AssertionError):
        return None
    return fields
