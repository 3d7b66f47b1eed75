"""The check that nothing was booked twice, made of the cards: each rule says there what happens once (`once_per`)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from worker.domain.cards import Card, OncePer
from worker.domain.rule_catalogue import CARDS
from worker.ledger.sql import load

_COLUMNS: Final[Mapping[str, str]] = {
    "freelancer_id": "c.freelancer_id",
    "job_id": "d.job_id",
    "proposal_id": "d.proposal_id",
    "occurred_at": "c.occurred_at::text",
}
"""Where these are found; any other field is one of the decision's facts."""

_WITH_A_SLASH: Final = " || '/' || "


def booked_twice(cards: Sequence[Card] = CARDS) -> str:
    """The statement that finds natural keys under which more than one change was booked, a sentence for each."""
    return load("demo.sql", "worker.demo")["i1_natural_keys"].replace("{natural_key}", natural_key(cards))


def natural_key(cards: Sequence[Card]) -> str:
    """An SQL expression: the natural key of a change `c` of a decision `d`; NULL, if its rule has none."""
    keys = [(card.id, card.once_per) for card in cards if card.once_per is not None]
    # A key of some reasons only goes before the key of all others of its rule.
    keys.sort(key=lambda key: not key[1].decided)
    return "\n".join(["CASE", *(f"          {line}" for line in _lines(keys)), "      END"])


def _lines(keys: Sequence[tuple[str, OncePer]]) -> Iterator[str]:
    for rule, once_per in dict.fromkeys(keys):
        when = f"c.rule = {_text(rule)}"
        if once_per.decided:
            when = f"{when} AND d.reason IN ({', '.join(map(_text, once_per.decided))})"
        parts = (_COLUMNS.get(name, f"(d.facts ->> {_text(name)})") for name in once_per.fields)
        yield f"WHEN {when} THEN {_WITH_A_SLASH.join(parts)}"


def _text(value: str) -> str:
    """A text in SQL. Rule ids, reasons and names of fields come from code; they have no quotes all the same."""
    return "'" + value.replace("'", "''") + "'"
