"""Members of the simulated marketplace: their plans, accounts and earnings.

The marketplace knows only who chose what, as a real one does. The worker knows the result, and the payment service
whether a charge was paid.
"""

import random
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

Event = tuple[str, dict[str, Any]]
"""A topic and the fields of a message, but for event_id and occurred_at."""

HOW_OFTEN: Final[Mapping[str, float]] = MappingProxyType(
    {
        "choose_plus": 3.0,
        "choose_basic": 0.8,
        "enter_promo": 0.7,
        "suspend": 0.6,
        "reinstate": 0.5,
        "earn": 2.5,
        "take_out": 0.5,
    }
)
"""How often each thing happens, relative to the others and to those of Life; each is a method of Members."""

PROMO_CODES: Final = ("WELCOME", "WELCOME", "FIVEOFF", "SPRING", "HALFOFF")
"""Codes that are entered, whether or not the policy knows them: the demo's policy has some, the packaged one none."""

_SCOPES: Final = ("account", "billing-method")
_EARNED_CENTS: Final = (500, 1_500, 3_000, 8_000, 25_000)
_WITH_A_CODE: Final = 0.2


class Members:
    """Who chose Plus, who is suspended, and what everybody has earned. Nothing happens until it is `open`."""

    def __init__(self, chance: random.Random, somebody: Callable[[], str]) -> None:
        self._chance, self._somebody = chance, somebody
        self._on_plus: list[str] = []
        self._suspended: list[tuple[str, str]] = []
        self.earnings: dict[str, int] = {}
        """Cents of each freelancer; the payment service takes charges from them."""
        self.open = False

    def chose_plus(self, freelancer_id: str) -> None:
        """Note a member of earlier days."""
        self._on_plus.append(freelancer_id)

    def choose_plus(self) -> Event | None:
        """Somebody wants Plus, now and then with a promotion code; or wants it again."""
        if not self.open:
            return None
        who = self._somebody()
        fields = {"freelancer_id": who, "plan": "plus"}
        if self._chance.random() < _WITH_A_CODE:
            fields["promo_code"] = self._chance.choice(PROMO_CODES)
        if who not in self._on_plus:
            self._on_plus.append(who)
        return "membership-plan-chosen", fields

    def choose_basic(self) -> Event | None:
        """A member has had enough of Plus."""
        if not self.open or not self._on_plus:
            return None
        who = self._on_plus.pop(self._chance.randrange(len(self._on_plus)))
        return "membership-plan-chosen", {"freelancer_id": who, "plan": "basic"}

    def enter_promo(self) -> Event | None:
        """A member has found a promotion code."""
        if not self.open or not self._on_plus:
            return None
        fields = {"freelancer_id": self._chance.choice(self._on_plus), "promo_code": self._chance.choice(PROMO_CODES)}
        return "promo-code-entered", fields

    def suspend(self) -> Event | None:
        """An account, or its way of paying, is suspended; members' rather than others'."""
        if not self.open:
            return None
        of_member = self._on_plus and self._chance.random() < 0.5  # noqa: PLR2004
        who = self._chance.choice(self._on_plus) if of_member else self._somebody()
        scope = self._chance.choice(_SCOPES)
        self._suspended.append((who, scope))
        return "account-suspended", {"freelancer_id": who, "scope": scope}

    def reinstate(self) -> Event | None:
        """A suspension is lifted."""
        if not self._suspended:
            return None
        who, scope = self._suspended.pop(self._chance.randrange(len(self._suspended)))
        return "account-reinstated", {"freelancer_id": who, "scope": scope}

    def earn(self) -> Event | None:
        """Somebody is paid for work."""
        if not self.open:
            return None
        of_member = self._on_plus and self._chance.random() < 0.5  # noqa: PLR2004
        who = self._chance.choice(self._on_plus) if of_member else self._somebody()
        self.earnings[who] = self.earnings.get(who, 0) + self._chance.choice(_EARNED_CENTS)
        return self.balance(who)

    def take_out(self) -> Event | None:
        """Somebody takes the earnings home."""
        if not self.earnings:
            return None
        who = self._chance.choice(list(self.earnings))
        self.earnings[who] = 0
        return self.balance(who)

    def balance(self, who: str) -> Event:
        """Report somebody's earnings balance."""
        return "earnings-balance-updated", {"freelancer_id": who, "available_cents": self.earnings[who]}
