"""Pieces of sentences that replies share. All days are in UTC; the ledger has instants as datetimes or as text."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Final, NamedTuple, TypeVar

from worker.domain.decisions import Fact
from worker.domain.model import midnight
from worker.replies.known import Applied, Known, Member
from worker.replies.recorded import ChangeMade, DecisionRecord
from worker.replies.reply import Draft, Next, What
from worker.words.phrases import agreeing, connects, date_of, money
from worker.words.phrases import day as day_of_fact

Value = TypeVar("Value")

SHOWN_BY_THE_COMMAND: Final = "--details shows it"
"""Where the decision itself can be read, in the words of `connects explain`."""
SOURCES: Final[Mapping[str, str]] = {"earnings-balance": "your earnings", "payment-method": "your payment method"}
_IN_WORDS: Final[Mapping[str, str]] = {
    "registration": "for registering",
    "badge": "for a badge",
    "certification": "for a certification",
    "interview": "for an interview",
    "monthly": "as monthly Connects",
    "upgrade": "for an upgrade to Plus",
    "purchase": "by buying them",
    "adjustment": "from support",
    "refund": "as a refund",
}
NOT_OUTBID: Final = "We have not heard that you were outbid."
ORDINALS: Final[Mapping[int, str]] = {1: "1st", 2: "2nd", 3: "3rd", 21: "21st", 22: "22nd", 23: "23rd", 31: "31st"}


class Missing(Exception):
    """A fact that a sentence rests on is not in an old decision: the reply is made of the recorded words instead.

    Not a `WorkerError`: it never leaves this room.
    """


class About(NamedTuple):
    """A decision that is the verdict, and all that is known beside it."""

    decision: DecisionRecord
    known: Known

    @property
    def on(self) -> str:
        """The day of what was decided."""
        change = next(iter(self.decision.changes), None)
        at = change.occurred_at if change is not None else self.decision.occurred_at
        return day(at or self.decision.recorded_at)

    @property
    def job(self) -> str:
        """The job's id."""
        return self.text("job_id") if "job_id" in self.decision.facts else self.subject("job_id")

    @property
    def member(self) -> Member:
        """The freelancer's wallet and membership now."""
        return known_or_missing(self.known.member)

    @property
    def change(self) -> ChangeMade:
        """The change that the decision made."""
        return known_or_missing(next(iter(self.decision.changes), None))

    @property
    def expires_on(self) -> str:
        """When what came in expires."""
        return day(known_or_missing(next((lot.expires_at for lot in self.change.lots if lot.delta > 0), None)))

    def subject(self, name: str) -> str:
        """An id of the decision."""
        return known_or_missing(self.decision.subject.get(name))

    def has(self, name: str) -> bool:
        """Whether the decision rests on such a fact."""
        return self.decision.facts.get(name) is not None

    def text(self, name: str) -> str:
        """A fact as text."""
        return str(known_or_missing(self.decision.facts.get(name)))

    def number(self, name: str) -> int:
        """A fact that is a whole number."""
        value = self.decision.facts.get(name)
        if type(value) is not int:
            raise Missing(name)
        return value

    def day(self, name: str) -> str:
        """The day of a fact."""
        return day(self.decision.facts.get(name))

    def amount(self, name: str = "amount_cents") -> str:
        """An amount of money, in the currency of the decision."""
        currency = self.decision.facts.get("currency")
        return money(self.number(name), currency if isinstance(currency, str) else None)


Replies = Mapping[tuple[str, str], Callable[[About], Draft]]
"""Makes a draft of the decisions of a rule and a reason."""


def known_or_missing(value: Value | None) -> Value:
    """The value.

    Raises:
        Missing: there is none.
    """
    if value is None:
        raise Missing
    return value


def day(at: object) -> str:
    """A day as people write it: 14 March 2026.

    Raises:
        Missing: it is no day.
    """
    value = midnight(at) if isinstance(at, date) and not isinstance(at, datetime) else at
    words = day_of_fact(value if isinstance(value, str | datetime) else None)
    if not words:
        raise Missing
    return words


def date_in(fact: object) -> date | None:
    """The day of a fact, for comparing."""
    return date_of(fact) if isinstance(fact, str | datetime) else None


def ordinal(number: int) -> str:
    """A day of the month: 1st, 22nd."""
    return ORDINALS.get(number, f"{number}th")


def the(count: int) -> str:
    """The 12 Connects, the 1 Connect."""
    return f"the {connects(count)}"


def all_of(count: int) -> str:
    """All 12 Connects, the 1 Connect."""
    return the(count) if count == 1 else f"all {connects(count)}"


def they(count: int) -> str:
    """They, or it."""
    return agreeing(count, "it", "they")


def agreed(count: int) -> str:
    """Them, or it."""
    return agreeing(count, "it", "them")


def come(count: int) -> str:
    """Come, or comes."""
    return agreeing(count, "comes", "come")


def expire(count: int) -> str:
    """12 expire, 1 expires."""
    return f"{count} {agreeing(count, 'expires', 'expire')}"


def are(count: int) -> str:
    """Are, or is."""
    return agreeing(count, "is", "are")


def paid_in_parts(applied: Applied) -> str:
    """When a boosted proposal was sent, and what it cost by its two parts: the beginning of a sentence."""
    return f"You paid {applied.base} for the proposal and {applied.boost} for its boost on {day(applied.spent_at)}"


def paid_in_all(applied: Applied) -> str:
    """When a proposal was sent, and what it cost with its boost: the beginning of a sentence."""
    return f"You paid {applied.spent} on {day(applied.spent_at)}"


def what_it_cost(applied: Applied) -> str:
    """When a proposal was sent, and what it cost if it was boosted, as a sentence."""
    if not applied.boost:
        return f"You applied on {day(applied.spent_at)}."
    return f"{paid_in_all(applied)}: {applied.base} for the proposal and {applied.boost} for its boost."


def not_outbid(applied: Applied) -> str:
    """The same, where no outbid is known."""
    return f"{paid_in_parts(applied)}. {NOT_OUTBID}"


def first_up(words: str) -> str:
    """The same as the beginning of a sentence."""
    return words[:1].upper() + words[1:]


def in_a_row(parts: Sequence[str]) -> str:
    """One, two and three."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def sentences(*parts: str) -> str:
    """Those sentences that there are, in one line."""
    return " ".join(part for part in parts if part)


def grounds(one: DecisionRecord, kind: str = "") -> str:
    """Which decision a reply rests on, for the agent; `kind` is what it is of the event, if it is not on the event."""
    cause = one.event_id or f"offset {one.offset} of partition {one.partition}"
    named = f"event {cause}" if one.topic and one.event_id else cause
    added = ", added later" if one.topic and one.offset is None else ""
    where = f" ({one.topic}{added})" if one.topic else ""
    policy = f", policy {one.policy_version}" if one.policy_version else ""
    return (
        f"decided by {f'{kind} of ' if kind else ''}{named}{where}, reason {one.reason}{policy}; {SHOWN_BY_THE_COMMAND}"
    )


def how_they_came(source: Fact) -> str:
    """How Connects came in, by the source of their lot."""
    return _IN_WORDS.get(str(source), f"as {source}")


def span(seconds: float) -> str:
    """A short time in words."""
    if seconds >= 120 and seconds % 60 == 0:  # noqa: PLR2004 - from two minutes on
        return f"{seconds / 60:g} minutes"
    return f"{seconds:g} {agreeing(seconds, 'second')}"


def next_grant(member: Member) -> Next | None:
    """What the next cycle of a membership brings; None if it has not begun, or waits for a charge first."""
    kinds: dict[str, What] = {"grant": "monthly", "renewal": "renewal"}
    for expected in member.ahead:
        if expected.kind in kinds and member.charge is None:
            return Next(expected.on, kinds[expected.kind], expected.connects)
    return None


def expiries(member: Member) -> list[Next]:
    """What expires if it is not used before: an entry for each day, for all of that day together, the next first."""
    by_day: dict[date, int] = {}
    for lot in member.lots:
        on = lot.expires_at.date()
        by_day[on] = by_day.get(on, 0) + lot.remaining
    return [Next(on, "expiry", -count) for on, count in sorted(by_day.items())]


def next_one_comes(member: Member | None) -> tuple[str, list[Next]]:
    """Say when the next Connects of a membership come, and what that is; nothing if that is not known."""
    coming = None if member is None else next_grant(member)
    if coming is None or coming.on is None:
        return "", []
    count, on = coming.connects, day(coming.on)
    if coming.what == "renewal":
        return f"The next {count} {come(count)} when the charge of {on} is paid.", [coming]
    if not count:
        return f"The cycle of {on} brings none as long as the account is suspended.", [coming]
    return f"The next {count} {come(count)} on {on}.", [coming]
