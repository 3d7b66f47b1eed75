"""JSON as text: parsed with numbers of any length and up to 500 levels, and written in one way.

Pydantic's parser refuses half of a surrogate pair, a number of more than 4300 digits and more than 200 levels. All of
them are JSON, and may be in fields that this contract does not have.
"""

import json
import re
from typing import Final, NoReturn

# Whole numbers are written out up to here, then with an exponent: `1e300000` must not become 300,000 zeros.
_MOST_DIGITS: Final = 40
_NUMBER: Final = re.compile(r"(?P<sign>-?)(?P<whole>[0-9]+)(?:\.(?P<part>[0-9]+))?(?:[eE](?P<exponent>[+-]?[0-9]+))?")
# int() refuses more digits than 4300; an exponent that long is distinguished by its spelling.
_LONGEST_EXPONENT: Final = 4000

MOST_LEVELS: Final = 500
"""Arrays and objects in one another. More of them would cost seconds, and some Pythons cannot read them at all."""

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKET: Final = re.compile(r"[][{}]")


class Number(str):
    """A number as it is written in JSON: a type of its own, so that it is not taken for a string."""

    __slots__ = ()


class TooManyLevels(ValueError):
    """More than MOST_LEVELS arrays and objects in one another."""


def parsed(text: str) -> object:
    """The content of a JSON text; each number is a `Number`, and of a repeated key the last one counts.

    Raises:
        ValueError: it is not JSON, or has too many levels (TooManyLevels); the text says why.
    """
    if text.count("[") + text.count("{") > MOST_LEVELS and _levels(text) > MOST_LEVELS:
        raise TooManyLevels(f"more than {MOST_LEVELS} levels of arrays and objects in one another")
    return _DECODER.decode(text)


def _levels(text: str) -> int:
    """How many arrays and objects are open at most, strings left out. What is not JSON has some number as well."""
    level = most = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        level += 1 if bracket in "[{" else -1
        most = max(most, level)
    return most


def canonical(content: object) -> str:
    """Write parsed content in the one way in which equal content is written. Numbers are compared exactly."""
    pieces: list[str] = []
    ahead: list[object] = [content]
    while ahead:
        match ahead.pop():
            case _Written() as piece:
                pieces.append(piece)
            case Number() as number:
                pieces.append(_canonical_number(number))
            case dict() as fields:
                ahead.append(_Written("}"))
                for place, name in enumerate(reversed(members := sorted(fields))):
                    ahead += (fields[name], _Written(f"{json.dumps(name)}:"))
                    if place < len(members) - 1:
                        ahead.append(_Written(","))
                pieces.append("{")
            case list() as items:
                ahead.append(_Written("]"))
                for place, item in enumerate(reversed(items)):
                    ahead.append(item)
                    if place < len(items) - 1:
                        ahead.append(_Written(","))
                pieces.append("[")
            case other:
                pieces.append(json.dumps(other))
    return "".join(pieces)


class _Written(str):
    """A piece of the canonical text, ready."""

    __slots__ = ()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_DECODER: Final = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse_constant)


def _canonical_number(literal: str) -> str:
    """Write a number as its sign, its digits without needless zeros, and a power of ten: equal if and only if equal."""
    match = _NUMBER.fullmatch(literal)
    if match is None:
        raise ValueError(f"{literal[:_MOST_DIGITS]} is not a JSON number")
    part, exponent = match["part"] or "", match["exponent"] or "0"
    digits = (match["whole"] + part).lstrip("0")
    if not digits:
        return "0"
    if len(exponent) > _LONGEST_EXPONENT:
        return literal.lower()
    significant = digits.rstrip("0")
    power = int(exponent) - len(part) + len(digits) - len(significant)
    if power >= 0 and len(significant) + power <= _MOST_DIGITS:
        return match["sign"] + significant + "0" * power
    first, others = significant[0], significant[1:]
    mantissa = f"{first}.{others}" if others else first
    return f"{match['sign']}{mantissa}e{power + len(others)}"
