"""What of a decision is about a membership, and whether the record still says how that one was after it."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from worker.domain.cards import Need
from worker.domain.rule_catalogue import RULES
from worker.proof.comparing import MEMBERSHIP
from worker.proof.findings import Difference
from worker.proof.groups import is_cycle
from worker.proof.recorded import Recorded

_TOPICS: Final = frozenset(topic for topic, card in RULES.items() if Need.MEMBERSHIP in card.needs)
_MEMBERSHIP: Final = frozenset(
    {"charge", "facts.next_renewal", "facts.cycle_start", "facts.downgrade_chosen_at", "facts.promo_code"}
)
"""Differences after which nothing says how the membership was recorded to be."""
_decode: Final = msgspec.json.Decoder(list[Any]).decode


def is_about_one(first: Recorded, waited: Recorded | None) -> bool:
    """Whether a trigger is about a membership."""
    row = first.row if waited is None else waited.row
    return is_cycle(first) if row.kind == "clock" else row.topic in _TOPICS


def loses_it(recorded: Recorded, differs: Sequence[Difference]) -> bool:
    """Whether after these differences nothing says how the membership was recorded to be.

    What a grant's decision answers does not matter: the membership moves on whether the Connects come in or not.
    """
    fields = {one.field: one for one in differs}
    if fields.keys() & _MEMBERSHIP:
        return True
    if (published := fields.get(MEMBERSHIP)) is not None:
        then, now = (None if one is None else _decode(str(one))[:-1] for one in (published.recorded, published.decided))
        if then != now:  # apart from the reason
            return True
    return bool(fields.keys() & {"outcome", "reason"}) and not (recorded.row.rule or "").startswith("grant.")
