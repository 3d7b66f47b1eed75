"""The kinds of value a message field can hold, each with its limits checked before anybody sees the value."""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

MOST_CONNECTS: Final = 1_000_000
MOST_IN_SHORT_TEXT: Final = 200
LARGEST_BIGINT: Final = 2**63 - 1

# Patterns are run by Rust's regex engine, where `$` is the end of the text and nothing else, and are written so that
# ECMA 262 (JSON Schema) reads them alike.
ID_PATTERN: Final = "^[A-Za-z0-9._:-]{1,64}$"
LONG_ID_PATTERN: Final = "^[A-Za-z0-9._:-]{1,160}$"
# At least one character that is not white space, and no NUL, which PostgreSQL's text cannot hold. Lone surrogates
# never get this far: the JSON parser refuses them.
TEXT_PATTERN: Final = r"^[^\x00]*[^\x00\s][^\x00]*$"
# One line: neither control characters nor what separates lines, and not white space alone.
_NOT_IN_A_LINE: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
PROMO_CODE_PATTERN: Final = rf"^[^{_NOT_IN_A_LINE}]*[^{_NOT_IN_A_LINE}\s][^{_NOT_IN_A_LINE}]*$"
INSTANT_PATTERN: Final = (
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    "[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-9]{2}([.][0-9]+)?"
    "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)

Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
EventId = Annotated[Id, Field(description="Unique per fact within its topic; a redelivery repeats it.")]
FreelancerId = Annotated[Id, Field(description="Whose wallet it is: a freelancer or an agency, any account id.")]
JobId = Annotated[Id, Field(description="The job post.")]
ClientId = Annotated[Id, Field(description="The client who posted the job.")]
ProposalId = Annotated[Id, Field(description="The proposal; unique in the whole marketplace.")]
ChargeId = Annotated[
    str,
    StringConstraints(pattern=LONG_ID_PATTERN),
    Field(description="The charge. Opaque: return it unchanged. Unique only together with freelancer_id."),
]
PromoCode = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MOST_IN_SHORT_TEXT, pattern=PROMO_CODE_PATTERN),
    Field(description="A promotion code, as the freelancer typed it."),
]

Connects = Annotated[int, Field(ge=0, le=MOST_CONNECTS)]
SignedConnects = Annotated[int, Field(ge=-MOST_CONNECTS, le=MOST_CONNECTS)]
Count = Annotated[int, Field(ge=0, le=LARGEST_BIGINT)]
Cents = Annotated[int, Field(ge=0, le=LARGEST_BIGINT)]
BigInt = Annotated[int, Field(ge=-LARGEST_BIGINT, le=LARGEST_BIGINT)]

Note = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=TEXT_PATTERN)]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=MOST_IN_SHORT_TEXT, pattern=TEXT_PATTERN)]

ClosureKind = Literal["closed-by-client", "expired", "removed-by-marketplace"]
Origin = Literal["proposal", "invite"]
CertificationKind = Literal["skill-certification", "learning-path"]
Plan = Literal["basic", "plus"]
ChargeOutcome = Literal["paid", "failed"]
ChargeSource = Literal["earnings-balance", "payment-method"]
SuspensionScope = Literal["account", "billing-method"]


class NullIs:
    """Marks a field with a default: null counts as absent, and the default holds. `default` is the field's own.

    Whatever is not null is checked in Rust alone.
    """

    def __init__(self, default: int | str) -> None:
        self._default = default

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        null = core_schema.no_info_after_validator_function(lambda _null: self._default, core_schema.none_schema())
        return core_schema.union_schema([handler(source), null], mode="left_to_right")


def rfc3339(instant: datetime) -> str:
    """Write an aware instant as RFC 3339 in UTC with `Z`, with microseconds only where there are any."""
    return f"{instant.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"


class _InstantSchema:
    """Reads an RFC 3339 date-time from JSON, or takes an aware datetime in Python; holds it in UTC either way.

    Pydantic's own datetime is too forgiving for a contract: unix numbers in strings, missing seconds and offsets
    without a colon all pass it. The shape is checked in Rust, the calendar by `datetime.fromisoformat`.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        del source, handler
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_after_validator_function(
                _instant_from_text, core_schema.str_schema(strict=True, pattern=INSTANT_PATTERN)
            ),
            python_schema=core_schema.no_info_after_validator_function(
                _in_utc, core_schema.datetime_schema(strict=True, tz_constraint="aware")
            ),
            serialization=core_schema.plain_serializer_function_ser_schema(
                rfc3339, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        del schema, handler
        return {"type": "string", "format": "date-time", "pattern": INSTANT_PATTERN}


Instant = Annotated[datetime, _InstantSchema]


def _instant_from_text(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        # RFC 3339 allows `t` and `z`, fromisoformat does not; whatever else is wrong fails again.
        try:
            instant = datetime.fromisoformat(text.upper())
        except ValueError as error:
            raise _impossible_instant(text, str(error)) from None
    return _in_utc(instant)


def _in_utc(instant: datetime) -> datetime:
    if instant.tzinfo is not UTC:
        try:
            instant = instant.astimezone(UTC)
        except OverflowError:
            raise PydanticCustomError("instant", "must lie between the years 1 and 9999 in UTC") from None
    return instant


def _impossible_instant(text: str, reason: str) -> PydanticCustomError:
    if text[17:19] == "60":
        return PydanticCustomError("instant", "has a leap second (:60), which cannot be stored")
    return PydanticCustomError("instant", "is not a date and time that exists: {reason}", {"reason": reason})
