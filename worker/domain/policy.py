"""Policy: every amount, date and switch of the rules, as data with an effective date (policies/connects.toml).

A decision is taken under the version in force at its own instant; the earliest version also covers all time before it.
"""

import hashlib
import re
import tomllib
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal, NamedTuple, TypeVar

from schemas.fields import MOST_IN_SHORT_TEXT, PROMO_CODE_PATTERN

OverdraftPolicy = Literal["allow", "decline"]
EndingLotPolicy = Literal["grace", "expire"]
LateHirePolicy = Literal["keep", "claw-back"]
LateCycleStart = Literal["following-month", "after-anniversary"]

MOST_CONNECTS: Final = 1_000_000


class PolicyError(ValueError):
    """A policy file that cannot be used; says the line, the key and what it should be."""


class InterviewTier(NamedTuple):
    """Connects for an interview with a client who spent at least `from_cents`."""

    from_cents: int
    connects: int


class PromoCode(NamedTuple):
    """A percentage or an amount (cents) off, for so many charges, in a window of time."""

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
    lot_lifetime_years: int
    plus_price_cents: int
    currency: str
    late_cycle_start: LateCycleStart
    promo_codes: Mapping[str, PromoCode]
    document: Mapping[str, object]

    @property
    def hash(self) -> bytes:
        """16 bytes that change with anything this version says."""
        return hashlib.blake2b(canonical(self.document), digest_size=16).digest()

    def interview_award(self, client_spent_cents: int) -> int:
        """Connects for an interview, by what its client has spent (ours: S3 says variable, undisclosed)."""
        award = 0
        for tier in self.interview_tiers:
            if client_spent_cents >= tier.from_cents:
                award = tier.connects
        return award

    def expiry_of(self, issued_at: datetime) -> datetime:
        """When a lot issued then expires: so many calendar years later; 29 February becomes 28 February (HP)."""
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


def canonical(value: object) -> bytes:
    """Bytes of a document that depend on its content alone, not on the order of keys."""
    if isinstance(value, Mapping):
        return b"{" + b",".join(canonical(key) + b":" + canonical(value[key]) for key in sorted(value)) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(canonical(item) for item in value) + b"]"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().encode()
    return repr(value).encode()


def read_policy(text: str, name: str) -> PolicyBook:
    """Read a policy file's text; `name` is what errors call it.

    Raises:
        PolicyError: naming the line, the key, and what was expected there.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{name}: {error}") from None
    sections = document.get("version")
    if not isinstance(sections, list) or not sections:
        raise PolicyError(f"{name}: no [[version]] in it; a policy is one or more [[version]] sections")
    lines = _Lines(text, name)
    versions = [
        _read_version(_Section(section, ("version",), lines, number)) for number, section in enumerate(sections)
    ]
    unknown = sorted(set(document) - {"version"})
    if unknown:
        raise PolicyError(f"{lines.place((unknown[0],), 0)}: unknown key {unknown[0]!r}")
    seen: set[object] = set()
    for number, version in enumerate(versions):
        for key, value in (("version", version.version), ("effective_from", version.effective_from)):
            if value in seen:
                raise PolicyError(f"{lines.place(('version', key), number)}: {key} {value!s} stands twice")
            seen.add(value)
    return PolicyBook(versions)


def _read_version(top: "_Section") -> Policy:
    grants, spends = top.section("grants"), top.section("spends")
    refunds, expiry, memberships = top.section("refunds"), top.section("expiry"), top.section("memberships")
    monthly, badges = grants.section("monthly"), grants.section("badges")
    promo_codes = memberships.section("promo_codes")
    policy = Policy(
        version=top.text("version"),
        effective_from=top.instant("effective_from"),
        registration=grants.connects("registration"),
        certification=grants.connects("certification"),
        badges={badge: badges.connects(badge) for badge in badges.keys_left()},
        interview_tiers=_tiers(grants),
        interview_cap=grants.connects("interview_cap"),
        interview_cap_window=grants.days("interview_cap_days"),
        monthly_basic=monthly.connects("basic"),
        monthly_plus_paid=monthly.connects("plus_paid"),
        monthly_plus_free=monthly.connects("plus_free"),
        overdraft=spends.choice("overdraft", _overdraft),
        refund_to_ending_lot=refunds.choice("refund_to_ending_lot", _ending_lot),
        ending_lot=refunds.days("ending_lot_days"),
        grace_lot=refunds.days("grace_lot_days"),
        late_hire=refunds.choice("late_hire", _late_hire),
        lot_lifetime_years=expiry.whole("lot_lifetime_years", 1, 100),
        plus_price_cents=memberships.whole("plus_price_cents", 0, 10**9),
        currency=memberships.text("currency"),
        late_cycle_start=memberships.choice("late_cycle_start", _late_cycle_start),
        promo_codes={code: _promo_code(code, promo_codes) for code in promo_codes.keys_left()},
        document=top.values,
    )
    for section in (top, grants, spends, refunds, expiry, memberships, monthly, badges, promo_codes):
        section.refuse_unknown()
    return policy


def _tiers(grants: "_Section") -> tuple[InterviewTier, ...]:
    entries = grants.value("interview_tiers", list, "a list of { from_cents, connects }")
    tiers = []
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != {"from_cents", "connects"}:
            grants.refuse("interview_tiers", "each tier needs from_cents and connects, and nothing else")
        if not all(type(value) is int and value >= 0 for value in entry.values()):
            grants.refuse("interview_tiers", "from_cents and connects are whole numbers, 0 or more")
        tiers.append(InterviewTier(entry["from_cents"], entry["connects"]))
    if [tier.from_cents for tier in tiers] != sorted({tier.from_cents for tier in tiers}):
        grants.refuse("interview_tiers", "tiers go from the smallest from_cents to the largest, each once")
    return tuple(tiers)


def _promo_code(code: str, promo_codes: "_Section") -> PromoCode:
    if not re.fullmatch(PROMO_CODE_PATTERN, code) or len(code) > MOST_IN_SHORT_TEXT:
        most = MOST_IN_SHORT_TEXT
        promo_codes.refuse(code, f"a promotion code is a line of 1 to {most} characters: nobody could enter this one")
    section = promo_codes.section(code)
    by_percentage = "percent_off" in section.values
    terms = PromoCode(
        percent_off=section.whole("percent_off", 1, 100) if by_percentage else 0,
        cents_off=0 if by_percentage else section.whole("cents_off", 1, 10**9),
        charges=section.whole("charges", 1, 1000),
        valid_from=section.instant("valid_from"),
        valid_until=section.instant("valid_until"),
    )
    section.refuse_unknown()
    return terms


def _overdraft(value: object) -> OverdraftPolicy | None:
    return "allow" if value == "allow" else "decline" if value == "decline" else None


def _ending_lot(value: object) -> EndingLotPolicy | None:
    return "grace" if value == "grace" else "expire" if value == "expire" else None


def _late_hire(value: object) -> LateHirePolicy | None:
    return "keep" if value == "keep" else "claw-back" if value == "claw-back" else None


def _late_cycle_start(value: object) -> LateCycleStart | None:
    return (
        "following-month"
        if value == "following-month"
        else "after-anniversary"
        if value == "after-anniversary"
        else None
    )


_CHOICES: Final[Mapping[Callable[[object], object], str]] = {
    _overdraft: '"allow" or "decline"',
    _ending_lot: '"grace" or "expire"',
    _late_hire: '"keep" or "claw-back"',
    _late_cycle_start: '"following-month" or "after-anniversary"',
}

Chosen = TypeVar("Chosen")


class _Lines:
    """Finds the line of a key in the text, for errors: tomllib keeps none."""

    def __init__(self, text: str, name: str) -> None:
        self._lines = text.splitlines()
        self._name = name

    def place(self, path: tuple[str, ...], version_number: int) -> str:
        return f"{self._name}, line {self._find(path, version_number)}"

    def _find(self, path: tuple[str, ...], version_number: int) -> int:
        *table, key = path
        header, versions, best = "", -1, 1
        for number, line in enumerate(self._lines, start=1):
            stripped = line.strip()
            if found := re.match(r"\[\[?\s*([^\]]+?)\s*\]", stripped):
                header = found.group(1)
                versions += header == "version"
                if versions == version_number and ".".join(path).startswith(header):
                    best = number
            elif (
                versions == version_number
                and header == ".".join(table)
                and re.match(rf"[\"']?{re.escape(key)}[\"']?\s*[=.]", stripped)
            ):
                return number
        return best


def _shown(key: str) -> str:
    return key if key.isprintable() else ascii(key)


class _Section:
    """One table of the file, read key by key; what nobody asked for is an error."""

    def __init__(self, values: object, path: tuple[str, ...], lines: _Lines, number: int) -> None:
        self._path, self._lines, self._number = path, lines, number
        if not isinstance(values, dict):
            raise PolicyError(f"{lines.place(path, number)}: {'.'.join(path)} should be a table")
        self.values: dict[str, object] = values
        self._read: set[str] = set()

    def refuse(self, key: str, expected: str) -> None:
        raise PolicyError(f"{self._lines.place((*self._path, key), self._number)}: {_shown(key)}: {expected}")

    def refuse_unknown(self) -> None:
        for key in self.keys_left():
            self.refuse(key, "unknown key")

    def keys_left(self) -> list[str]:
        return [key for key in self.values if key not in self._read]

    def section(self, key: str) -> "_Section":
        self._read.add(key)
        if key not in self.values:
            self.refuse(key, "this section is missing")
        return _Section(self.values[key], (*self._path, key), self._lines, self._number)

    def value(self, key: str, kind: type[Chosen], expected: str) -> Chosen:
        self._read.add(key)
        found = self.values.get(key)
        if type(found) is not kind:
            self.refuse(key, f"should be {expected}, is {'missing' if found is None else repr(found)}")
            raise AssertionError
        return found

    def whole(self, key: str, least: int, most: int) -> int:
        expected = f"a whole number from {least} to {most}"
        number = self.value(key, int, expected)
        if not least <= number <= most:
            self.refuse(key, f"should be {expected}, is {number}")
        return number

    def connects(self, key: str) -> int:
        return self.whole(key, 0, MOST_CONNECTS)

    def days(self, key: str) -> timedelta:
        return timedelta(days=self.whole(key, 1, 3650))

    def text(self, key: str) -> str:
        found = self.value(key, str, "a text")
        if not 1 <= len(found) <= 64:  # noqa: PLR2004 - the width of an id in the contract
            self.refuse(key, "should have 1 to 64 characters")
        return found

    def instant(self, key: str) -> datetime:
        found = self.value(key, datetime, "a date and time with offset, like 2026-01-01T00:00:00Z")
        if found.tzinfo is None:
            self.refuse(key, "needs an offset, like 2026-01-01T00:00:00Z")
        return found.astimezone(UTC)

    def choice(self, key: str, read: Callable[[object], Chosen | None]) -> Chosen:
        self._read.add(key)
        found = read(self.values.get(key))
        if found is None:
            self.refuse(key, f"should be {_CHOICES[read]}, is {self.values.get(key)!r}")
            raise AssertionError
        return found
