"""docs/event-catalogue.md: every topic and message, from schemas/, and every rule with its reasons, from the cards."""

from collections.abc import Iterator

from schemas.export import catalogue_markdown
from worker.domain.cards import Card, PolicyKey
from worker.domain.rule_catalogue import CARDS, RULES


def event_catalogue() -> str:
    """Return the whole file, as it is committed."""
    return "\n".join([catalogue_markdown().rstrip("\n"), *_rules(), ""])


def _rules() -> Iterator[str]:
    yield from (
        "",
        "## Rules and their reasons",
        "",
        "The `rule` and the `reason` of decisions and messages: the trigger of a rule, what happens once, and why.",
        "A row without a trigger is a rule that others call. [domain.md](domain.md) says when each reason is given.",
        "",
        "| rule | trigger | once per | reasons | policy keys |",
        "|---|---|---|---|---|",
    )
    for card in CARDS:
        yield f"| `{card.id}` | {_trigger(card)} | {_once_per(card)} | {_codes(card.all_reasons)} | {_keys(card)} |"


def _trigger(card: Card) -> str:
    if card.on is None:
        return ""
    return f"`{card.on}`" if card.on in RULES else f"the clock: {card.on}"


def _once_per(card: Card) -> str:
    return "" if card.once_per is None else ", ".join(f"`{name}`" for name in card.once_per.fields)


def _codes(reasons: tuple[str, ...]) -> str:
    return ", ".join(f"`{reason}`" for reason in sorted(set(reasons)))


def _keys(card: Card) -> str:
    return ", ".join(f"`{key.path if isinstance(key, PolicyKey) else key}`" for key in card.policy)
