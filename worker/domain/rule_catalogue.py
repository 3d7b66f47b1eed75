"""All rules there are, by their cards. Importing this imports every file of rules/ and checks that none is missing."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Final, get_args

from schemas.catalogue import INPUT_TOPICS
from worker.domain import rules
from worker.domain.cards import Card, CardError, FoundBy, PolicyKey, Work, by_trigger, declared


def problems(cards: Sequence[Card]) -> Iterator[str]:
    """Everything that cannot be true of all cards together, in words."""
    for on in (*INPUT_TOPICS, *get_args(Work)):
        if not any(card.on == on for card in cards):
            yield f"no rule says on={on!r}; every topic and all work of the clock has one (worker/domain/rules)"


def reasons_of(cards: Sequence[Card]) -> Mapping[str, frozenset[str]]:
    """The reasons of these cards, by rule id."""
    ids = {card.id for card in cards}
    return {rule: frozenset(reason for card in cards if card.id == rule for reason in card.all_reasons) for rule in ids}


def _every_card() -> tuple[Card, ...]:
    """Those of events in the order of the topics, then those of the clock, then by id those that other rules call."""
    for name in sorted(module.name for module in iter_modules(rules.__path__)):
        import_module(f"{rules.__name__}.{name}")
    if (wrong := next(problems(declared), None)) is not None:
        raise CardError(wrong)
    order = {on: place for place, on in enumerate((*INPUT_TOPICS, *get_args(Work)))}
    return tuple(sorted(declared, key=lambda card: (order.get(card.on or "", len(order)), card.on or card.id)))


CARDS: Final = _every_card()
RULES: Final[Mapping[str, Card]] = MappingProxyType({topic: by_trigger[topic] for topic in INPUT_TOPICS})
"""The rule of each topic, in the order of the topics."""
CLOCK_RULES: Final[Mapping[str, Card]] = MappingProxyType({work: by_trigger[work] for work in get_args(Work)})
REASONS: Final = reasons_of(CARDS)
"""The reasons that may be given under each rule id."""
FOUND_BY: Final[Mapping[tuple[str | None, str], FoundBy]] = MappingProxyType(
    {(card.on, reason): how for card in CARDS for reason, how in card.found_by.items()}
)
"""How decisions are found, by topic and reason."""
POLICY_KEYS: Final = tuple(key for card in CARDS for key in card.policy if isinstance(key, PolicyKey))
"""The keys of the policy that were declared with a rule."""
