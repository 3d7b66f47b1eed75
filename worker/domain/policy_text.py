"""The contents of one `[[version]]` of a policy file: its sections and keys, with bounds, and words for a wrong value.

A new key always has a default, and the default means "this rule is not in force": a file from before the key is read by
every later release, and means the same. A key that one rule reads is declared on the card of that rule (`PolicyKey`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    create_model,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from schemas.fields import MOST_CONNECTS, MOST_IN_SHORT_TEXT, PROMO_CODE_PATTERN
from worker.domain.cards import Card, CardError, PolicyKey
from worker.domain.policy import EndingLotPolicy, LateCycleStart, LateHirePolicy, OverdraftPolicy
from worker.domain.rule_catalogue import CARDS, POLICY_KEYS

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


Connects = Annotated[int, Field(ge=0, le=MOST_CONNECTS), Expects(f"a whole number from 0 to {MOST_CONNECTS}")]
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


class CorrectionsText(Section):
    """`[version.corrections]`; a file from before it means its defaults."""

    least_life_days: Days = 30


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
    corrections: CorrectionsText = CorrectionsText()

    @property
    def meaning(self) -> dict[str, object]:
        """Return all keys and values, with the defaults of those that it leaves out."""
        return self.model_dump(exclude_none=True)

    @property
    def without_defaults(self) -> dict[str, object]:
        """Return its keys and values, without keys at their defaults."""
        return self.model_dump(exclude_defaults=True)


def has_key(model: type[BaseModel], path: str) -> bool:
    """Whether a version may have the key `section.name`."""
    section, _, below = path.partition(".")
    table = _table(model, section)
    return has_key(table, below) if below and table is not None else not below and section in model.model_fields


def _table(model: type[BaseModel], section: str) -> type[BaseModel] | None:
    kind = None if section not in model.model_fields else model.model_fields[section].annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def value_of(text: VersionText, key: PolicyKey) -> int:
    """Return the value of a key that a rule declared; its default, if the version was read without that key."""
    section, _, name = key.path.partition(".")
    found = getattr(getattr(text, section), name, key.default)
    if not isinstance(found, int):
        raise TypeError(f"{key.path} is not a number")
    return found


def with_keys(keys: Sequence[PolicyKey], model: type[VersionText] = VersionText) -> type[VersionText]:
    """Return the model of a version, with these keys as well.

    Raises:
        CardError: there is no such section, or it has that key already.
    """
    for key in keys:
        section, _, name = key.path.partition(".")
        table = _table(model, section)
        if table is None or not name or has_key(model, key.path):
            raise CardError(f"the policy key {key.path!r} is not section.name with a name that is new in a section")
        more: dict[str, Any] = {name: (Connects, key.default)}
        grown: dict[str, Any] = {section: (create_model(table.__name__, __base__=table, **more), ...)}
        model = create_model(model.__name__, __base__=model, **grown)
    return model


VERSION_TEXT: Final = with_keys(POLICY_KEYS)
"""One `[[version]]`, with the keys that rules declare on their cards."""


def problems(cards: Iterable[Card], model: type[VersionText]) -> Iterator[str]:
    """Keys that cards name and no version may have, in words."""
    for card in cards:
        for key in card.policy:
            if isinstance(key, str) and not has_key(model, key):
                yield f"the card of {card.id} reads the policy key {key!r}, which no policy has"


if (_wrong := next(problems(CARDS, VERSION_TEXT), None)) is not None:
    raise CardError(_wrong)
