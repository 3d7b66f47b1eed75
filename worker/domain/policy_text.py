"""What one `[[version]]` of a policy file may say: its sections and keys, with bounds, and words for a wrong value.

A new key always has a default, and the default means "this rule is not in force": a file from before the key is read by
every later release, and means the same.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from schemas.fields import MOST_IN_SHORT_TEXT, PROMO_CODE_PATTERN
from worker.domain.policy import EndingLotPolicy, LateCycleStart, LateHirePolicy, OverdraftPolicy

_MOST_CONNECTS: Final = 1_000_000
_MOST_CENTS: Final = 10**9
_MOST_DAYS: Final = 3_650
_AN_INSTANT: Final = "2026-01-01T00:00:00Z"
_TIER_KEYS: Final = "each tier needs from_cents and connects, and nothing else"
_TIER_NUMBERS: Final = "from_cents and connects are whole numbers, 0 or more"


@dataclass(frozen=True, eq=False)
class Expects:
    """Says in plain words what a value should be, in place of pydantic's own message.

    `instead` has whole messages for some of pydantic's error types.
    """

    expected: str
    instead: Mapping[str, str] = field(default_factory=dict)

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._validate, handler(source))

    def _validate(self, value: object, validate: core_schema.ValidatorFunctionWrapHandler) -> object:
        try:
            return validate(value)
        except ValidationError as error:
            kind = error.errors(include_url=False)[0]["type"]
            found = value.isoformat() if isinstance(value, date | time) else repr(value)
            words = self.instead.get(kind, f"should be {self.expected}, is {found}")
            raise PydanticCustomError("policy", "{words}", {"words": words}) from None


def _in_utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("beyond the calendar") from None


def _can_be_entered(code: str) -> str:
    if re.fullmatch(PROMO_CODE_PATTERN, code) and len(code) <= MOST_IN_SHORT_TEXT:
        return code
    words = f"a promotion code is a line of 1 to {MOST_IN_SHORT_TEXT} characters: nobody could enter this one"
    raise PydanticCustomError("policy", "{words}", {"words": words})


Connects = Annotated[int, Field(ge=0, le=_MOST_CONNECTS), Expects(f"a whole number from 0 to {_MOST_CONNECTS}")]
Cents = Annotated[int, Field(ge=0, le=_MOST_CENTS), Expects(f"a whole number from 0 to {_MOST_CENTS}")]
Days = Annotated[int, Field(ge=1, le=_MOST_DAYS), Expects(f"a whole number from 1 to {_MOST_DAYS}")]
Years = Annotated[int, Field(ge=1, le=100), Expects("a whole number from 1 to 100")]
Percent = Annotated[int, Field(ge=1, le=100), Expects("a whole number from 1 to 100")]
CentsOff = Annotated[int, Field(ge=1, le=_MOST_CENTS), Expects(f"a whole number from 1 to {_MOST_CENTS}")]
Charges = Annotated[int, Field(ge=1, le=1000), Expects("a whole number from 1 to 1000")]
Name = Annotated[
    str,
    Field(min_length=1, max_length=64),
    Expects("a text", dict.fromkeys(("string_too_short", "string_too_long"), "should have 1 to 64 characters")),
]
Instant = Annotated[
    AwareDatetime,
    AfterValidator(_in_utc),
    Expects(
        f"a date and time with offset, like {_AN_INSTANT}",
        {"timezone_aware": f"needs an offset, like {_AN_INSTANT}"},
    ),
]
Code = Annotated[str, AfterValidator(_can_be_entered)]


class Section(BaseModel):
    """One table of the file. A key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TierText(Section):
    """Connects for an interview with a client who spent at least `from_cents`."""

    from_cents: Annotated[int, Field(ge=0)]
    connects: Annotated[int, Field(ge=0)]


def _ascending(tiers: list[TierText]) -> list[TierText]:
    if [tier.from_cents for tier in tiers] != sorted({tier.from_cents for tier in tiers}):
        raise ValueError("not in order")
    return tiers


Tiers = Annotated[
    list[TierText],
    AfterValidator(_ascending),
    Expects(
        "a list of { from_cents, connects }",
        {
            **dict.fromkeys(("missing", "extra_forbidden", "model_type"), _TIER_KEYS),
            **dict.fromkeys(("int_type", "greater_than_equal"), _TIER_NUMBERS),
            "value_error": "tiers go from the smallest from_cents to the largest, each once",
        },
    ),
]


class MonthlyText(Section):
    """`[version.grants.monthly]`, in Connects."""

    basic: Connects
    plus_paid: Connects
    plus_free: Connects


class GrantsText(Section):
    """`[version.grants]`."""

    registration: Connects
    certification: Connects
    interview_tiers: Tiers
    interview_cap: Connects
    interview_cap_days: Days
    badges: dict[str, Connects]
    monthly: MonthlyText


class SpendsText(Section):
    """`[version.spends]`."""

    overdraft: Annotated[OverdraftPolicy, Expects('"allow" or "decline"')]


class RefundsText(Section):
    """`[version.refunds]`."""

    refund_to_ending_lot: Annotated[EndingLotPolicy, Expects('"grace" or "expire"')]
    ending_lot_days: Days
    grace_lot_days: Days
    late_hire: Annotated[LateHirePolicy, Expects('"keep" or "claw-back"')]


class ExpiryText(Section):
    """`[version.expiry]`."""

    lot_lifetime_years: Years


class PromoCodeText(Section):
    """The terms of one promotion code: either a percentage or an amount off."""

    percent_off: Percent | None = None
    cents_off: CentsOff | None = None
    charges: Charges
    valid_from: Instant
    valid_until: Instant


def _one_discount(terms: PromoCodeText) -> PromoCodeText:
    if (terms.percent_off is None) == (terms.cents_off is None):
        raise PydanticCustomError("policy", "needs percent_off or cents_off, one of the two")
    return terms


class MembershipsText(Section):
    """`[version.memberships]`, money in cents of `currency`."""

    plus_price_cents: Cents
    currency: Name
    late_cycle_start: Annotated[LateCycleStart, Expects('"following-month" or "after-anniversary"')]
    promo_codes: dict[Code, Annotated[PromoCodeText, AfterValidator(_one_discount)]]


class VersionText(Section):
    """One `[[version]]`."""

    version: Name
    effective_from: Instant
    grants: GrantsText
    spends: SpendsText
    refunds: RefundsText
    expiry: ExpiryText
    memberships: MembershipsText

    @property
    def meaning(self) -> dict[str, object]:
        """All that it says, with the defaults of what it leaves out."""
        return self.model_dump(exclude_none=True)

    @property
    def without_defaults(self) -> dict[str, object]:
        """What it says apart from keys at their defaults."""
        return self.model_dump(exclude_defaults=True)
