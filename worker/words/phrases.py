"""Pieces of sentences for explanations. A missing fact leaves its piece out."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

from worker.domain.decisions import Fact, Facts, Subject

_CLOSINGS: Final[Mapping[Fact, str]] = {
    "closed-by-client": "was closed by the client",
    "expired": "expired",
    "removed-by-marketplace": "was removed by the marketplace",
}

_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def day(instant: Fact) -> str:
    """A date as people write it, in UTC: 14 March 2026. Also of a day as text; empty for anything else."""
    at = _read(instant) if isinstance(instant, str) else instant
    if not isinstance(at, datetime):
        return ""
    if at.tzinfo is not UTC and at.tzinfo is not None:
        at = at.astimezone(UTC)
    return _date(at.toordinal())


def date_of(instant: Fact) -> date | None:
    """The day of a fact, in UTC, for comparing; None for what is neither an instant nor a day."""
    at = _read(instant) if isinstance(instant, str) else instant
    if not isinstance(at, datetime):
        return None
    return (at if at.tzinfo is None else at.astimezone(UTC)).date()


@lru_cache(maxsize=4096)
def _date(ordinal: int) -> str:
    at = date.fromordinal(ordinal)
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}"


def connects(count: Fact) -> str:
    """1 Connect, 12 Connects, or just Connects."""
    if count == 1:
        return "1 Connect"
    return "Connects" if count is None else f"{count} Connects"


def counted(count: Fact, one: str, many: str = "") -> str:
    """1 message, 12 messages, or just messages; `many` where it takes more than an s."""
    words = agreeing(count, one, many)
    return words if count is None else f"{count} {words}"


def agreeing(count: Fact | float, one: str, many: str = "") -> str:
    """The form for that number: message or messages, waits or wait."""
    return one if count == 1 else many or f"{one}s"


def money(cents: Fact, currency: Fact) -> str:
    """$20.00, 20.00 EUR; empty for what is no amount."""
    if type(cents) is not int:
        return ""
    amount = f"{cents // 100}.{cents % 100:02}"
    return f"{amount} {currency}" if currency not in {None, "USD"} else f"${amount}"


def the_job(subject: Subject) -> str:
    """Name the job, as far as it is known."""
    return "the job" if subject.job_id is None else f"job {subject.job_id}"


def the_proposal(subject: Subject) -> str:
    """Name the proposal, as far as it is known."""
    return "the proposal" if subject.proposal_id is None else f"proposal {subject.proposal_id}"


def whose(subject: Subject) -> str:
    """Name the wallet, else the job."""
    return f"the wallet of {subject.freelancer_id}" if subject.freelancer_id is not None else the_job(subject)


def how_it_closed(facts: Facts) -> str:
    """Say how a closure came about."""
    return _CLOSINGS.get(facts.get("closure"), "was closed")


def graced(facts: Facts) -> str:
    """Add a sentence that a part went to a new lot."""
    moved = facts.get("graced")
    return f" {moved} of them got a later expiry date: the old one was near, or over." if moved else ""


def charged_again(facts: Facts) -> str:
    """Add a sentence that a part of what was taken had paid for proposals."""
    again = facts.get("charged_again")
    paid = f"{connects(again)} had paid for proposals, which are now paid by other Connects."
    return f" Of these, {paid}" if again else ""


def not_there(facts: Facts) -> str:
    """Add a sentence that a part could not be taken back."""
    shortfall = facts.get("shortfall")
    return f" {connects(shortfall)} could not be taken back, because they are not there." if shortfall else ""


def moment(instant: datetime) -> str:
    """An instant in UTC, to the second: 09:00:00 UTC on 14 March 2026."""
    return _time(instant)


def on_day(facts: Facts, fact: str) -> str:
    """Say the day of a fact, with a space before it; empty without the fact."""
    on = day(facts.get(fact))
    return f" on {on}" if on else ""


def of_day(facts: Facts, fact: str) -> str:
    """Say of which day something is, by a fact, with a space before it; empty without the fact."""
    of = day(facts.get(fact))
    return f" of {of}" if of else ""


def from_time(facts: Facts, fact: str) -> str:
    """Say from which time on, with a space before it; empty without the fact."""
    time = _time(facts.get(fact))
    return f" from {time} on" if time else ""


def at_time(facts: Facts, fact: str) -> str:
    """Say the time of a fact, with a space before it; empty without the fact."""
    time = _time(facts.get(fact))
    return f" {time}" if time else ""


def named(facts: Facts, fact: str) -> str:
    """Name a fact, with a space before it; empty without the fact."""
    return f" {facts[fact]}" if facts.get(fact) is not None else ""


def record(facts: Facts) -> str:
    """Say which record came first, in parentheses; empty without the facts."""
    if facts.get("first_topic") is None:
        return ""
    if facts.get("first_offset") is None and facts.get("first_seq") is not None:
        return f" (the {facts['first_topic']} that was added as decision {facts['first_seq']})"
    return f" ({facts['first_topic']}, partition {facts.get('first_partition')}, offset {facts.get('first_offset')})"


def sentence(words: Fact) -> str:
    """Make a sentence of somebody else's words."""
    said = str(words or "").strip()
    return f"{said}." if said and said[-1] not in ".!?" else said


def _time(instant: Fact) -> str:
    at = _read(instant) if isinstance(instant, str) else instant
    if not isinstance(at, datetime):
        return ""
    return f"{at.astimezone(UTC):%H:%M:%S} UTC on {day(instant)}"


def _read(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
