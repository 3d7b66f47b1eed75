"""Policy: every amount, date and switch of the rules, as data with an effective date (policies/connects.toml).

A decision is taken under the version in force at its own instant; the earliest version also covers all time before it.
policy_text.py has what a file may contain; here are the plain objects that the rules read.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

OverdraftPolicy = Literal["allow", "decline"]
EndingLotPolicy = Literal["grace", "expire"]
LateHirePolicy = Literal["keep", "claw-back"]
LateCycleStart = Literal["following-month", "after-anniversary"]


class InterviewTier(NamedTuple):
    """Connects for an interview with a client who spent at least `from_cents`."""

    from_cents: int
    connects: int


class PromoCode(NamedTuple):
    """A percentage or an amount (cents) off, for a number of charges, in a window of time."""

    percent_off: int
    cents_off: int
    charges: int
    valid_from: datetime
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of the policy. Amounts in Connects or cents, as the names say."""

    version: str
    effective_from: datetime
    registration: int
    certification: int
    badges: Mapping[str, int]
    interview_tiers: tuple[InterviewTier, ...]
    interview_cap: int
    interview_cap_window: timedelta
    monthly_basic: int
    monthly_plus_paid: int
    monthly_plus_free: int
    overdraft: OverdraftPolicy
    refund_to_ending_lot: EndingLotPolicy
    ending_lot: timedelta
    grace_lot: timedelta
    late_hire: LateHirePolicy
    least_life: timedelta
    """How long a lot lasts at least that a correction gives."""
    lot_lifetime_years: int
    plus_price_cents: int
    currency: str
    late_cycle_start: LateCycleStart
    promo_codes: Mapping[str, PromoCode]
    amounts: Mapping[str, int]
    """The keys that rules declare on their cards, by `section.name` (see cards.PolicyKey)."""
    document: Mapping[str, object]
    """All that this version means, section by section; keys that the file leaves out have their defaults."""
    stored_document: Mapping[str, object]
    """The same without the keys at their defaults: what the ledger stores, and a release that lacks a key can read."""

    @property
    def hash(self) -> bytes:
        """16 bytes that change with the meaning of this version, and with nothing else.

        A key at its default does not count, so that the next release, which has more keys, finds the same bytes.
        """
        return hashlib.blake2b(_canonical(self.stored_document), digest_size=16).digest()

    def interview_award(self, client_spent_cents: int) -> int:
        """Connects for an interview, by what its client has spent (ours: S3 says variable, undisclosed)."""
        award = 0
        for tier in self.interview_tiers:
            if client_spent_cents >= tier.from_cents:
                award = tier.connects
        return award

    def expiry_of(self, issued_at: datetime) -> datetime:
        """Return when a lot issued then expires: some calendar years later; 29 February becomes 28 February (HP)."""
        return _years_later(issued_at, self.lot_lifetime_years)


@lru_cache(maxsize=1024)
def _years_later(instant: datetime, years: int) -> datetime:
    try:
        return instant.replace(year=instant.year + years)
    except ValueError:
        return instant.replace(year=instant.year + years, day=28)


class PolicyBook:
    """All versions, by effective date."""

    def __init__(self, versions: list[Policy]) -> None:
        self.versions = sorted(versions, key=lambda policy: policy.effective_from)
        self._starts = [policy.effective_from for policy in self.versions]

    def in_force(self, at: datetime) -> Policy:
        """The version in force at that instant."""
        if len(self._starts) == 1:
            return self.versions[0]
        return self.versions[max(0, bisect_right(self._starts, at) - 1)]


def _canonical(value: object) -> bytes:
    """Bytes of a document that depend on its content alone, not on the order of keys."""
    if isinstance(value, Mapping):
        return b"{" + b",".join(_canonical(key) + b":" + _canonical(value[key]) for key in sorted(value)) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(_canonical(item) for item in value) + b"]"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().encode()
    return repr(value).encode()
