"""Whether a record is an event of the contract, decided here from the contract's page alone.

Three answers, because the page leaves corners open (an empty note, a leap second, the same key twice): what is
plainly an event, what plainly is not one, and what either reading allows. In an open corner the ledger is believed.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

MOST_CONNECTS = 1_000_000
LARGEST_VALUE_BYTES = 256 * 1024
ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
CHARGE_ID = re.compile(r"[A-Za-z0-9._:-]{1,160}")
INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
PLAIN_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
EARLIEST_PLAIN_INSTANT = datetime(1, 1, 2, tzinfo=UTC)
EARLIEST_EVENT = datetime(2000, 1, 1, tzinfo=UTC)

YES, NO, OPEN = "yes", "no", "open"


class Verdict(NamedTuple):
    """`event` holds the payload, with `at` (occurred_at in UTC) and defaults, unless the answer is plainly no."""

    answer: str
    event: dict[str, Any] | None
    why: str


def judge(topic: str, value: bytes | None) -> Verdict:
    doubts: list[str] = []
    try:
        payload = _payload(value, doubts)
        _check_fields(topic, payload, doubts)
        event = _event(topic, payload)
    except (ValueError, RecursionError) as error:
        return Verdict(NO, None, str(error))
    return Verdict(OPEN if doubts else YES, event, "; ".join(doubts))


def _payload(value: bytes | None, doubts: list[str]) -> dict[str, Any]:
    if not value or len(value) > LARGEST_VALUE_BYTES:
        raise ValueError("empty, a tombstone, or too large")
    payload = json.loads(value.decode("utf-8"), object_pairs_hook=_object, parse_constant=_not_json, parse_int=whole)
    if not isinstance(payload, dict):
        raise ValueError("not an object")  # noqa: TRY004
    if TWICE in payload:
        doubts.append("the same key twice")
    return payload


def _check_fields(topic: str, payload: dict[str, Any], doubts: list[str]) -> None:
    fields: dict[str, Callable[[Any], str]] = {"event_id": _id, "occurred_at": _instant, **FIELDS[topic]}
    for name, check in fields.items():
        if name in payload:
            answer = check(payload[name])
            if answer == NO:
                raise ValueError(f"{name} is wrong: {payload[name]!r}")
            if answer == OPEN:
                doubts.append(f"{name} could be read either way: {payload[name]!r}")
        elif (topic, name) not in OPTIONAL:
            raise ValueError(f"{name} is missing")


def _event(topic: str, payload: dict[str, Any]) -> dict[str, Any]:
    event = {name: item for name, item in payload.items() if name != TWICE}
    event["at"] = parse_instant(payload["occurred_at"])
    if topic == "proposal-submitted":
        event["boost_connects"] = event.get("boost_connects") or 0
    return event


def canonical(value: bytes) -> str:
    """The text two payloads share when they say the same, unknown fields included."""
    return json.dumps(json.loads(value, parse_int=whole), sort_keys=True, separators=(",", ":"))


def parse_instant(text: str) -> datetime | None:
    """RFC 3339 to an aware datetime in UTC; parts of a microsecond are cut off."""
    match = INSTANT.fullmatch(text)
    if match is None:
        return None
    day, time, fraction, offset = match.groups()
    try:
        at = datetime.fromisoformat(f"{day}T{time}.{(fraction or '0')[:6].ljust(6, '0')}+00:00")
        return at - _offset(offset)
    except (ValueError, OverflowError):
        return None


TWICE = "\x00twice"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        found[TWICE] = True
    return found


def whole(digits: str) -> Any:  # noqa: ANN401
    """A whole number; of one with more digits than Python converts, which is no value of a field, the digits."""
    return int(digits) if len(digits) <= 4_000 else {"digits": digits}


def _not_json(name: str) -> Any:  # noqa: ANN401
    raise ValueError(f"{name} is no JSON number")


def _offset(text: str) -> timedelta:
    if text in "Zz":
        return timedelta(0)
    sign = -1 if text[0] == "-" else 1
    return sign * timedelta(hours=int(text[1:3]), minutes=int(text[4:6]))


def _id(item: Any) -> str:  # noqa: ANN401
    return YES if isinstance(item, str) and ID.fullmatch(item) else NO


def _charge_id(item: Any) -> str:  # noqa: ANN401
    return YES if isinstance(item, str) and CHARGE_ID.fullmatch(item) else NO


def _optional_id(item: Any) -> str:  # noqa: ANN401
    return YES if item is None else _id(item)


def _optional_text(item: Any) -> str:  # noqa: ANN401
    return YES if item is None else _text(item)


def _name(item: Any) -> str:  # noqa: ANN401
    if not isinstance(item, str):
        return NO
    return YES if ID.fullmatch(item) else OPEN


def _text(item: Any) -> str:  # noqa: ANN401
    if not isinstance(item, str):
        return NO
    return YES if item.strip() and item.isprintable() and len(item) <= 200 else OPEN


def _instant(item: Any) -> str:  # noqa: ANN401
    if not isinstance(item, str):
        return NO
    at = parse_instant(item)
    if at is None:
        return NO
    plain = PLAIN_INSTANT.fullmatch(item) is not None and at >= EARLIEST_PLAIN_INSTANT
    return YES if plain else OPEN


def _integer(low: int | None, high: int | None) -> Callable[[Any], str]:
    def check(item: Any) -> str:  # noqa: ANN401
        if isinstance(item, bool) or not isinstance(item, int):
            return OPEN if isinstance(item, float) and item.is_integer() else NO
        if low is None or high is None:
            return YES if 0 <= item < 2**63 else OPEN
        return YES if low <= item <= high else NO

    return check


def _one_of(*choices: str) -> Callable[[Any], str]:
    def check(item: Any) -> str:  # noqa: ANN401
        return YES if isinstance(item, str) and item in choices else NO

    return check


_connects = _integer(0, MOST_CONNECTS)
_signed_connects = _integer(-MOST_CONNECTS, MOST_CONNECTS)
_number = _integer(None, None)
_origin = _one_of("proposal", "invite")
_scope = _one_of("account", "billing-method")
_proposal: dict[str, Callable[[Any], str]] = {"freelancer_id": _id, "job_id": _id, "proposal_id": _id}


def _boost(item: Any) -> str:  # noqa: ANN401
    return YES if item is None else _connects(item)


OPTIONAL = {
    ("proposal-submitted", "boost_connects"),
    ("membership-plan-chosen", "promo_code"),
    ("hire-made", "proposal_id"),
}
FIELDS: dict[str, dict[str, Callable[[Any], str]]] = {
    "job-closed": {
        "job_id": _id,
        "client_id": _id,
        "closure": _one_of("closed-by-client", "expired", "removed-by-marketplace"),
    },
    "hire-made": {"job_id": _id, "freelancer_id": _id, "contract_id": _id, "proposal_id": _optional_id},
    "interview-won": {
        "freelancer_id": _id,
        "job_id": _id,
        "client_id": _id,
        "origin": _origin,
        "client_hires": _number,
        "client_spent_cents": _number,
    },
    "certification-completed": {
        "freelancer_id": _id,
        "certification_id": _id,
        "kind": _one_of("skill-certification", "learning-path"),
    },
    "proposal-submitted": {**_proposal, "connects": _connects, "boost_connects": _boost, "origin": _origin},
    "proposal-withdrawn": _proposal,
    "boost-outbid": _proposal,
    "freelancer-registered": {"freelancer_id": _id},
    "badge-earned": {"freelancer_id": _id, "badge": _name},
    "connects-purchased": {"freelancer_id": _id, "purchase_id": _id, "connects": _connects},
    "connects-adjusted": {
        "freelancer_id": _id,
        "adjustment_id": _id,
        "connects": _signed_connects,
        "actor": _text,
        "note": _text,
    },
    "membership-plan-chosen": {"freelancer_id": _id, "plan": _one_of("basic", "plus"), "promo_code": _optional_text},
    "promo-code-entered": {"freelancer_id": _id, "promo_code": _text},
    "membership-charge-settled": {
        "freelancer_id": _id,
        "charge_id": _charge_id,
        "outcome": _one_of("paid", "failed"),
        "source": _text,
    },
    "earnings-balance-updated": {"freelancer_id": _id, "available_cents": _number},
    "account-suspended": {"freelancer_id": _id, "scope": _scope},
    "account-reinstated": {"freelancer_id": _id, "scope": _scope},
}
