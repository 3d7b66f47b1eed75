"""The card of a rule: everything that the rest of the worker has to know about it, declared once, beside its function.

From the cards come the dispatch (decide.py), what is loaded before a rule is called, natural keys and their check,
sources of lots, what a failure stops, index entries, policy keys, and the chapter of rules in docs/event-catalogue.md.
The words for its reasons are in worker/words, under the rule's id.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import Enum, auto
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypedDict, TypeVar, Unpack, get_args

from schemas.base import InputEvent
from schemas.catalogue import INPUT_TOPICS
from schemas.outputs import Subject as PublishedSubject
from worker.domain.decisions import Fact, Verdict
from worker.domain.policy import Policy


class Need(Enum):
    """Objects that have to be in memory before a rule is called. Each is found by the ids that the event names."""

    WALLET = auto()
    JOB = auto()
    SPENDS_OF_JOB = auto()
    """The spends on the job, with the lots that they drew: as many as are decided together."""
    REFUNDS_OF_JOB = auto()
    """All spends on the job, if the policy takes refunds back."""
    PROPOSAL = auto()
    """The spend on the proposal, and the withdrawals and outbids that await it."""
    MEMBERSHIP = auto()
    """The membership, the events that wait for it, and the charges that it waits for."""
    CHARGE = auto()


Work = Literal["settlement", "expiry", "cycle"]
"""Work of the schedule, which no event causes."""
Then = Literal["nothing", "membership-begins", "membership-moves", "proposal-arrives"]
"""The decision's consequence. `membership-moves`: the event first waits for cycle starts that are not booked yet."""
FoundBy = Literal["spend", "closure", "operators"]
"""How a decision of that reason is found: by its spend, by its closure, or (also) in the list that operators see."""
Stops = Literal["wallet", "job"]
Refuses: TypeAlias = Callable[[Any, Policy], Verdict | None]
"""Takes the event and the policy; returns a refusal, or None."""
Function = TypeVar("Function", bound=Callable[..., object])

ALREADY_GRANTED: Final = "already-granted"
AWAITS_CYCLE_START: Final = "awaits-cycle-start"


class CardError(Exception):
    """A card is not complete, or contradicts another one. The message says which, and what to do.

    It is a mistake in the code, found when a module is imported, and so no `WorkerError`: nothing can handle it.
    """


class OncePer(NamedTuple):
    """A natural key: these fields of an event or a decision, or the day it is dated at, name what happens once.

    With `decided` it is the key of what was decided for these reasons only.
    """

    fields: tuple[str, ...]
    decided: tuple[str, ...] = ()


class PolicyKey(NamedTuple):
    """A whole number of Connects in the policy file that one rule brings: `section.name`. `default`: not in force."""

    path: str
    default: int

    def of(self, policy: Policy) -> int:
        """Return the value in this version of the policy."""
        return policy.amounts[self.path]


class Fields(TypedDict):
    """The fields of a card. None may be left out: a rule that has none of something says so with None or ()."""

    id: str
    on: str | Work | None
    event: type[InputEvent] | None
    needs: tuple[Need, ...]
    stops: Stops
    once_per: OncePer | None
    repeat: str | None
    unless: Refuses | None
    source: str | None
    about: tuple[str, ...]
    reasons: tuple[str, ...]
    found_by: Mapping[str, FoundBy]
    policy: tuple[str | PolicyKey, ...]
    then: Then


@dataclass(frozen=True, kw_only=True)
class Card:
    """One rule. `decide` is its function; several cards may have one id, if several triggers are decided under it."""

    id: str
    """The rule id of its decisions and changes."""
    on: str | None
    """The input topic that brings it about, or the work of the clock; None: other rules call it."""
    event: type[InputEvent] | None
    needs: tuple[Need, ...]
    stops: Stops
    """Whether a failure in it parks the wallet or the job, until an operator releases it."""
    once_per: OncePer | None
    """Identifies what may happen once, whatever the event ids are; None: it may happen again."""
    repeat: str | None
    """The reason that declines a repeat before the rule is called; None: the rule itself looks for repeats."""
    unless: Refuses | None
    """A check for events that are refused whether or not they are repeats."""
    source: str | None
    """Of the lots that it opens; None: it opens none of its own."""
    about: tuple[str, ...]
    """The fields of the event that the decision notes, and the change's subject names."""
    reasons: tuple[str, ...]
    found_by: Mapping[str, FoundBy]
    policy: tuple[str | PolicyKey, ...]
    """The keys of the policy that it reads."""
    then: Then
    decide: Callable[..., object]

    @property
    def all_reasons(self) -> tuple[str, ...]:
        """Its own reasons, and those of what is done before it is called."""
        waits = (AWAITS_CYCLE_START,) if self.then == "membership-moves" else ()
        return (*self.reasons, *(() if self.repeat is None else (self.repeat,)), *waits)

    def natural_key(self, named: Mapping[str, Any]) -> str:
        """The natural key of an event with these fields: ids with `/` between, which no id has."""
        if self.once_per is None:
            raise AssertionError(f"{self.id} has no natural key")
        if len(self.once_per.fields) == 1:
            return str(named[self.once_per.fields[0]])
        return "/".join([named[name] for name in self.once_per.fields])

    def facts_of(self, event: InputEvent) -> dict[str, Fact]:
        """The fields that it is about, by name."""
        named = event.__dict__
        return {name: named[name] for name in self.about}


declared: Final[list[Card]] = []
"""The cards of all rules that were imported. rule_catalogue.py imports all."""
by_trigger: Final[dict[str, Card]] = {}
"""The same by topic and work of the clock."""
sources: Final[dict[str, str]] = {}
"""The source of the lots that are opened under each rule id."""


def rule(**said: Unpack[Fields]) -> Callable[[Function], Function]:
    """Declare a rule: put above its function, with all of `Fields`.

    Raises:
        CardError: something is missing or wrong.
    """

    def declare(function: Function) -> Function:
        card = made(function, said)
        if card.on is not None and by_trigger.setdefault(card.on, card) is not card:
            raise CardError(f"two rules say on={card.on!r}; a topic and work of the clock have one")
        if card.source is not None and sources.setdefault(card.id, card.source) != card.source:
            raise CardError(f"the lots of {card.id} have two sources, {sources[card.id]!r} and {card.source!r}")
        declared.append(card)
        return function

    return declare


class PartFields(TypedDict):
    """The fields of the card of a rule that other rules call."""

    id: str
    once_per: OncePer | None
    source: str | None
    reasons: tuple[str, ...]
    found_by: Mapping[str, FoundBy]
    policy: tuple[str | PolicyKey, ...]


def part(**said: Unpack[PartFields]) -> Callable[[Function], Function]:
    """Declare a rule that other rules call, and that decides or books under an id of its own; as `rule` does."""
    return rule(
        on=None, event=None, needs=(), stops="wallet", repeat=None, unless=None, about=(), then="nothing", **said
    )


class _Moves(TypedDict):
    needs: tuple[Need, ...]
    stops: Stops
    once_per: None
    repeat: None
    unless: None
    source: None
    about: tuple[str, ...]
    found_by: Mapping[str, FoundBy]
    then: Then


MOVES_MEMBERSHIP: Final[_Moves] = {
    "needs": (Need.WALLET, Need.MEMBERSHIP),
    "stops": "wallet",
    "once_per": None,
    "repeat": None,
    "unless": None,
    "source": None,
    "about": (),
    "found_by": {},
    "then": "membership-moves",
}
"""The fields that all rules of membership events share."""


def made(function: Callable[..., object], said: Fields) -> Card:
    """The card of a function.

    Raises:
        CardError: something is missing or wrong.
    """
    where = f"the card of {getattr(function, '__module__', '')}.{getattr(function, '__name__', '')}"
    missing = [field.name for field in fields(Card) if field.name not in said and field.name != "decide"]
    if missing:
        raise CardError(f"{where} does not say {missing[0]!r}; if the rule has none, say None or ()")
    card = Card(**said, decide=function)
    if (wrong := next(_wrong(card), None)) is not None:
        raise CardError(f"{where}: {wrong}")
    return card


def _wrong(card: Card) -> Iterator[str]:
    """Everything that cannot be true of one card, in words."""
    yield from _wrong_values(card)
    if card.on in INPUT_TOPICS:
        yield from _wrong_of_event(card)
    elif card.on is not None and card.on not in get_args(Work):
        yield f"no event has the topic {card.on!r}; add it to schemas/, or name work of the clock"
    elif card.event is not None or card.repeat is not None or card.unless is not None:
        yield "event, repeat and unless are for rules that an event brings about"
    if not card.reasons:
        yield "it has no reasons; every decision has one"
    if unknown := set(card.found_by) - set(card.reasons):
        yield f"found_by names {min(unknown)!r}, which is not one of its reasons"
    if card.stops == "job" and Need.JOB not in card.needs:
        yield "it stops a job that it does not need"
    if unpublished := set(card.about) - set(PublishedSubject.model_fields):
        yield (
            f"it is about {min(unpublished)!r}, which wallet-updated does not publish; mark the field of the event "
            "with InSubject"
        )


def _wrong_values(card: Card) -> Iterator[str]:
    for name, value, known in (("then", card.then, get_args(Then)), ("stops", card.stops, get_args(Stops))):
        if value not in known:
            yield f"{name}={value!r} is none of {', '.join(known)}"
    if card.source == "":
        yield "its source is empty; if it opens no lots, say None"


_FIELD_OF: Final[Mapping[Need, str]] = {
    Need.WALLET: "freelancer_id",
    Need.JOB: "job_id",
    Need.SPENDS_OF_JOB: "job_id",
    Need.REFUNDS_OF_JOB: "job_id",
    Need.PROPOSAL: "proposal_id",
    Need.MEMBERSHIP: "freelancer_id",
    Need.CHARGE: "charge_id",
}


def _wrong_of_event(card: Card) -> Iterator[str]:
    event = INPUT_TOPICS[card.on or ""]
    if card.event is not event:
        yield f"the event of {card.on} is {event.__name__}"
    named = set(event.model_fields)
    for need in card.needs:
        if _FIELD_OF[need] not in named:
            yield f"it needs a {need.name}, but the event has no {_FIELD_OF[need]}"
    if "freelancer_id" in named and Need.WALLET not in card.needs:
        yield "the event names a freelancer, so it needs the WALLET"
    if (card.then in {"membership-begins", "membership-moves"}) != (Need.MEMBERSHIP in card.needs):
        yield "it needs the MEMBERSHIP if the membership begins or moves, and only then"
    if (card.then == "proposal-arrives") > (Need.PROPOSAL in card.needs):
        yield "it needs the PROPOSAL that arrives"
    keys = () if card.once_per is None else card.once_per.fields
    if unknown := (set(keys) | set(card.about)) - named:
        yield f"the event has no {min(unknown)!r}"
    if card.repeat is not None and not keys:
        yield "it declines repeats, so it needs once_per, which says what a repeat is"
    # The check of what was booked twice reads natural keys from the decision: its subject and its facts.
    if card.repeat is not None and (lost := set(keys) - {"freelancer_id", *card.about}):
        yield f"its natural key has {min(lost)!r}, so it is about that, too"
