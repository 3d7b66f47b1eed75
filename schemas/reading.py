"""From a record's bytes to an event, or to words that say what is wrong with them."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.base import InputEvent
from schemas.catalogue import INPUT_TOPICS
from schemas.fields import ID_PATTERN, INSTANT_PATTERN, LONG_ID_PATTERN, PROMO_CODE_PATTERN, TEXT_PATTERN
from schemas.json_text import Number, TooManyLevels, canonical, parsed

LARGEST_VALUE_BYTES: Final = 256 * 1024
_N, _I = b"NI"


class InvalidEvent(ValueError):
    """A record that can never be decided.

    `field` names the field at fault, None where it is the whole message; `detail` says in words what is wrong, field
    included. It is printable ASCII and short, whatever the input. It becomes a rejection, which is a decision like any
    other, so it is no error of the worker's.
    """

    def __init__(self, field: str | None, detail: str) -> None:
        super().__init__(detail)
        self.field = field
        self.detail = detail


def read_event(topic: str, value: bytes | None) -> InputEvent:
    """Read a record's value as the event of its topic, named as in the contract, without a prefix.

    A field that the event does not have decides nothing, whatever JSON of up to 500 levels it holds.

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
        first = error.errors(include_url=False)[0]
        if first["type"] != "json_invalid":
            raise _explained(first) from None
        return _read_without_others(topic, value, str(first["ctx"]["error"]))
    # The parser lets NaN and Infinity pass, which are not JSON. One byte, as a number, is found ten times as fast as
    # bytes are: to look for those Python raises an error first, and drops it.
    if (_N in value and b"NaN" in value) or (_I in value and b"Infinity" in value):
        try:
            parsed(value.decode())
        except ValueError as error:
            raise InvalidEvent(None, f"not JSON: {error}") from None
    return event


def canonical_json(value: bytes) -> bytes:
    """Write what `read_event` accepted in the one way that equal content is written.

    The order of keys, white space, escapes and the spelling of a number (`1`, `1.0`, `10e-1`) make no difference; any
    other difference does, in unknown fields too. Of a repeated key the last one counts, as when it is read. Numbers
    are compared exactly, whatever their size.

    Raises:
        ValueError: the value is nothing that `read_event` accepts.
    """
    return canonical(parsed(value.decode())).encode("ascii")


def event_id_in(value: bytes | None) -> str | None:
    """The event id of what is otherwise not an event, so that it can be found; None if it cannot be read."""
    if value is None or len(value) > LARGEST_VALUE_BYTES:
        return None
    try:
        content = parsed(value.decode())
    except ValueError:
        return None
    event_id = content.get("event_id") if isinstance(content, dict) else None
    if not isinstance(event_id, str) or isinstance(event_id, Number):
        return None
    return event_id if _ID.fullmatch(event_id) else None


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


def _explained(first: ErrorDetails) -> InvalidEvent:
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


def _named(found: object) -> str:
    """Name what was found, without ever echoing much of it."""
    match found:
        case Number():
            return found if len(found) <= _ECHOED_CHARACTERS else "a number of many digits"
        case dict():
            return "an object"
        case list():
            return "an array"
        case int() if found.bit_length() > 128:  # noqa: PLR2004 - wider than any number worth reading
            return "a number of many digits"
    written = json.dumps(found).replace("\x7f", "\\u007f")
    return written if len(written) <= _ECHOED_CHARACTERS else f"{written[:_ECHOED_CHARACTERS]}..."


# What the parser refuses and is JSON all the same

_ID: Final = re.compile(ID_PATTERN)
_HALF_A_PAIR: Final = re.compile("[\ud800-\udfff]")
# Pydantic's parser has room for 4300; what a field of ours holds has far fewer.
_MOST_CHARACTERS_OF_A_NUMBER: Final = 4000


def _read_without_others(topic: str, value: bytes, reason: str) -> InputEvent:
    """Read the event's own fields alone, of a value that the parser refused for `reason`."""
    if not value:
        raise InvalidEvent(None, "empty: the value has no bytes")
    try:
        content = parsed(value.decode())
    except UnicodeDecodeError as error:
        raise InvalidEvent(None, f"not UTF-8: byte {error.start} begins no character") from None
    except TooManyLevels as error:
        raise InvalidEvent(None, f"nested too deep: {error}") from None
    except ValueError:
        raise InvalidEvent(None, f"not JSON: {reason}") from None
    if not isinstance(content, dict):
        raise InvalidEvent(None, f"not a JSON object but {_named(content)}")
    own = (name for name in INPUT_TOPICS[topic].model_fields if name in content)
    fields = ",".join(f'"{name}":{_written(name, content[name])}' for name in own)
    try:
        return _READERS[topic](f"{{{fields}}}".encode())
    except ValidationError as error:
        raise _explained(error.errors(include_url=False)[0]) from None


def _written(field: str, content: object) -> str:
    """One of the event's own fields as JSON that the parser reads. No field holds an object or an array.

    Raises:
        InvalidEvent: it cannot be a value of any field.
    """
    match content:
        case Number() if len(content) > _MOST_CHARACTERS_OF_A_NUMBER:
            raise InvalidEvent(field, f"{field}: a number of too many digits")
        case Number():
            return content
        case str() if _HALF_A_PAIR.search(content):
            raise InvalidEvent(field, f"{field}: holds half of a surrogate pair, which is no character")
        case dict():
            return "{}"
        case list():
            return "[]"
    return json.dumps(content)
