"""From a record's bytes to an event, or to words that say what is wrong with them."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.base import InputEvent
from schemas.catalogue import INPUT_TOPICS
from schemas.fields import ID_PATTERN, INSTANT_PATTERN, LONG_ID_PATTERN, PROMO_CODE_PATTERN, TEXT_PATTERN

LARGEST_VALUE_BYTES: Final = 256 * 1024


class InvalidEvent(ValueError):
    """A record that can never be decided.

    `field` names the field at fault, None where it is the whole message; `detail` says in words what is wrong, field
    included. It is printable ASCII and short, whatever the input.
    """

    def __init__(self, field: str | None, detail: str) -> None:
        super().__init__(detail)
        self.field = field
        self.detail = detail


def read_event(topic: str, value: bytes | None) -> InputEvent:
    """Read a record's value as the event of its topic, named as in the contract, without a prefix.

    Raises:
        InvalidEvent: the value is not such an event.
        KeyError: the topic is none of the contract's input topics.
    """
    read = _READERS[topic]
    if value is None:
        raise InvalidEvent(None, "a tombstone: the record has no value")
    if len(value) > LARGEST_VALUE_BYTES:
        raise InvalidEvent(None, f"too large: {len(value)} bytes; at most {LARGEST_VALUE_BYTES} are read")
    try:
        event = read(value)
    except ValidationError as error:
        raise _explained(value, error) from None
    # The parser lets NaN and Infinity pass, which are not JSON. One letter is found ten times as fast as a word.
    if (b"N" in value and b"NaN" in value) or (b"I" in value and b"Infinity" in value):
        _REFUSING_NAN.decode(value.decode())
    return event


def canonical_json(value: bytes) -> bytes:
    """Write what `read_event` accepted in the one way that equal content is written.

    The order of keys, white space, escapes and the spelling of a number (`1`, `1.0`, `10e-1`) make no difference; any
    other difference does, in unknown fields too. Of a repeated key the last one counts, as when it is read. Numbers
    are compared exactly, whatever their size.

    Raises:
        ValueError: the value is nothing that `read_event` accepts.
    """
    return _written(_WITH_NUMBERS_AS_WRITTEN.decode(value.decode())).encode("ascii")


# The models' own validators, without the Python frame that model_validate_json puts in front of them.
_READERS: Final[Mapping[str, Callable[[bytes], InputEvent]]] = {
    topic: model.__pydantic_validator__.validate_json for topic, model in INPUT_TOPICS.items()
}


# What is wrong, in words

_ECHOED_CHARACTERS: Final = 60
_PATTERNS_IN_WORDS: Final[Mapping[str, str]] = {
    ID_PATTERN: "must be 1 to 64 characters of A-Z a-z 0-9 . _ : -",
    LONG_ID_PATTERN: "must be 1 to 160 characters of A-Z a-z 0-9 . _ : -",
    PROMO_CODE_PATTERN: "must be one line with something to read in it",
    TEXT_PATTERN: "must have something to read in it and no NUL character",
    INSTANT_PATTERN: "must be a date and time with seconds and an offset (RFC 3339), like 2026-01-31T09:30:00Z",
}
_IN_WORDS: Final[Mapping[str, str]] = {
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
}


def _explained(value: bytes, error: ValidationError) -> InvalidEvent:
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return _explained_json(value, str(first["ctx"]["error"]))
    if not first["loc"]:
        return InvalidEvent(None, f"not a JSON object but {_named(first['input'])}")
    field = str(first["loc"][0])
    if first["type"] == "missing":
        return InvalidEvent(field, f"{field}: missing")
    return InvalidEvent(field, f"{field}: {_wanted(first)}; got {_named(first['input'])}")


def _wanted(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if error["type"] == "string_pattern_mismatch":
        return _PATTERNS_IN_WORDS[context["pattern"]]
    in_words = _IN_WORDS.get(error["type"])
    return error["msg"] if in_words is None else in_words.format_map(context)


def _explained_json(value: bytes, reason: str) -> InvalidEvent:
    if not value:
        return InvalidEvent(None, "empty: the value has no bytes")
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        return InvalidEvent(None, f"not UTF-8: byte {error.start} begins no character")
    field = _field_with_half_a_surrogate_pair(text)
    if field is not None:
        return InvalidEvent(field, f"{field}: holds half of a surrogate pair, which is no character")
    return InvalidEvent(None, f"not JSON: {reason}")


def _field_with_half_a_surrogate_pair(text: str) -> str | None:
    try:
        content: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(content, dict):
        for field, held in content.items():
            if field.isascii() and field.isidentifier() and isinstance(held, str) and _HALF_A_PAIR.search(held):
                return str(field)[:_ECHOED_CHARACTERS]
    return None


_HALF_A_PAIR: Final = re.compile("[\ud800-\udfff]")


def _named(found: object) -> str:
    """Name what was found, without ever echoing much of it."""
    match found:
        case dict():
            return "an object"
        case list():
            return "an array"
        case int() if found.bit_length() > 128:  # noqa: PLR2004 - wider than any number worth reading
            return "a number of many digits"
    written = json.dumps(found).replace("\x7f", "\\u007f")
    return written if len(written) <= _ECHOED_CHARACTERS else f"{written[:_ECHOED_CHARACTERS]}..."


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidEvent(None, f"not JSON: {name} is no JSON number")


_REFUSING_NAN: Final = json.JSONDecoder(parse_constant=_refuse_constant)


# Canonical JSON

# Whole numbers are written out up to here, then with an exponent: `1e300000` must not become 300,000 zeros.
_MOST_DIGITS: Final = 40
_NUMBER: Final = re.compile(r"(?P<sign>-?)(?P<whole>[0-9]+)(?:\.(?P<part>[0-9]+))?(?:[eE](?P<exponent>[+-]?[0-9]+))?")
# int() refuses more digits than 4300; an exponent that long is told apart by its spelling.
_LONGEST_EXPONENT: Final = 4000


class _NumberAsWritten(str):
    """A number's canonical text, not to be mistaken for a JSON string."""

    __slots__ = ()


def _canonical_number(literal: str) -> _NumberAsWritten:
    """Write a number as its sign, its digits without needless zeros, and a power of ten: equal if and only if equal."""
    match = _NUMBER.fullmatch(literal)
    if match is None:
        return _NumberAsWritten(literal)
    part, exponent = match["part"] or "", match["exponent"] or "0"
    digits = (match["whole"] + part).lstrip("0")
    if not digits:
        return _NumberAsWritten("0")
    if len(exponent) > _LONGEST_EXPONENT:
        return _NumberAsWritten(literal.lower())
    significant = digits.rstrip("0")
    power = int(exponent) - len(part) + len(digits) - len(significant)
    if power >= 0 and len(significant) + power <= _MOST_DIGITS:
        return _NumberAsWritten(match["sign"] + significant + "0" * power)
    first, others = significant[0], significant[1:]
    mantissa = f"{first}.{others}" if others else first
    return _NumberAsWritten(f"{match['sign']}{mantissa}e{power + len(others)}")


_WITH_NUMBERS_AS_WRITTEN: Final = json.JSONDecoder(
    parse_int=_canonical_number, parse_float=_canonical_number, parse_constant=_NumberAsWritten
)


def _written(content: object) -> str:
    # As deep as the parser allowed: 200 levels.
    match content:
        case _NumberAsWritten():
            return content
        case dict():
            return "{" + ",".join(map(_written_item, sorted(content.items(), key=_key_of))) + "}"
        case list():
            return "[" + ",".join(map(_written, content)) + "]"
        case _:
            return json.dumps(content)


def _written_item(item: tuple[str, object]) -> str:
    return f"{json.dumps(item[0])}:{_written(item[1])}"


def _key_of(item: tuple[str, object]) -> str:
    return item[0]
