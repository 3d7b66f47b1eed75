"""Two deliveries of one event compare equal exactly when they say the same."""

import json
from decimal import Decimal

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from schemas.base import InputEvent
from schemas.catalogue import INPUT_TOPICS
from schemas.examples import EXAMPLES
from schemas.json_text import MOST_LEVELS
from schemas.reading import InvalidEvent, canonical_json, read_event

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
CONTENT = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)
DIGITS = st.text("0123456789", min_size=1, max_size=12)
NUMBERS = st.builds(
    lambda sign, whole, part, exponent: sign + (whole.lstrip("0") or "0") + part + exponent,
    st.sampled_from(["", "-"]),
    DIGITS,
    st.just("") | DIGITS.map(".{}".format),
    st.just("") | st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), DIGITS),
)


def with_unknown(raw: bytes) -> bytes:
    """A valid badge-earned with an unknown field holding the JSON text."""
    return json.dumps(EXAMPLES["badge-earned"] | {"unknown": "@@"}).encode().replace(b'"@@"', raw)


def same(one: bytes, other: bytes) -> bool:
    return canonical_json(with_unknown(one)) == canonical_json(with_unknown(other))


def exact(content: object) -> object:
    """Content in which numbers are exact and true is not 1."""
    match content:
        case bool() | None | str():
            return (type(content).__name__, content)
        case int() | float() | Decimal():
            return ("number", Decimal(repr(content)) if isinstance(content, float) else Decimal(content))
        case list():
            return [exact(item) for item in content]
        case dict():
            return {name: exact(item) for name, item in content.items()}
    raise AssertionError(content)


def reversed_keys(content: object) -> object:
    match content:
        case dict():
            return {name: reversed_keys(content[name]) for name in reversed(content)}
        case list():
            return [reversed_keys(item) for item in content]
    return content


@given(content=st.dictionaries(TEXT, CONTENT, max_size=5), escaped=st.booleans(), indent=st.sampled_from([None, 0, 3]))
def test_the_order_of_keys_white_space_and_escapes_make_no_difference(
    *, content: dict[str, object], escaped: bool, indent: int | None
) -> None:
    one = json.dumps(content).encode()
    other = json.dumps(reversed_keys(content), ensure_ascii=escaped, indent=indent).encode()
    assert canonical_json(one) == canonical_json(other)


@given(st.dictionaries(TEXT, CONTENT, max_size=2), st.dictionaries(TEXT, CONTENT, max_size=2))
@example({"a": 1}, {"a": True})
@example({"a": 1}, {"a": "1"})
@example({"a": None}, {})
@example({"a": [1, 2]}, {"a": [2, 1]})
@example({"a": {"b": 1}}, {"a": '{"b":1}'})
@example({"a": 0}, {"a": -0.0})
def test_equal_bytes_mean_equal_content_and_the_other_way_round(
    one: dict[str, object], other: dict[str, object]
) -> None:
    written = [canonical_json(json.dumps(content).encode()) for content in (one, other)]
    assert (written[0] == written[1]) == (exact(one) == exact(other))


@given(NUMBERS, NUMBERS)
def test_numbers_are_equal_exactly_when_their_values_are(one: str, other: str) -> None:
    written, again = canonical_json(one.encode()), canonical_json(other.encode())
    try:
        values_equal = Decimal(one) == Decimal(other)
    except ArithmeticError:  # beyond what Decimal holds
        assume(False)
    assert (written == again) == values_equal


@given(NUMBERS)
def test_the_canonical_form_of_a_number_is_a_number_and_its_own_canonical_form(number: str) -> None:
    written = canonical_json(number.encode())
    json.loads(written)
    assert canonical_json(written) == written


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"1", b"1.0"),
        (b"100", b"1e2"),
        (b"100", b"1E+2"),
        (b"0.01", b"1e-2"),
        (b"0", b"-0"),
        (b"0", b"0.000e55"),
        (b"-12.50", b"-1250e-2"),
        (b"1" + b"0" * 400, b"1e400"),
        (b'"\\u0041\\/"', b'"A/"'),
        (b'"\\ud83d\\ude00"', '"\U0001f600"'.encode()),
        (b'{"a": 1, "a": 2}', b'{"a": 2}'),
        (b'{"a": 1, "\\u0061": 2}', b'{"a": 2}'),
    ],
)
def test_two_ways_to_write_the_same_are_the_same(one: bytes, other: bytes) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"1", b"1.0000000000000000000000000001"),
        (b"9007199254740992", b"9007199254740993"),
        (b"1e400", b"1e401"),
        (b"1", b"true"),
        (b"1", b'"1"'),
        (b'"1e2"', b"1e2"),
        (b"null", b'""'),
        (b"null", b"false"),
        (b"[]", b"{}"),
        (b"[[], []]", b"[[[]]]"),
        ('"é"'.encode(), '"e\u0301"'.encode()),
        (b'{"a": 2, "a": 1}', b'{"a": 2}'),
    ],
)
def test_what_differs_stays_different(one: bytes, other: bytes) -> None:
    assert not same(one, other)


@pytest.mark.parametrize(
    "raw",
    [
        b"9" * 4300,
        b"-" + b"9" * 4300,
        b"0." + b"1" * 20_000,
        b"1e" + b"9" * 20_000,
        b"1e-" + b"9" * 20_000,
        b"0e" + b"9" * 20_000,
        b"[" * 190 + b"]" * 190,
        b'{"a":' * 190 + b"1" + b"}" * 190,
        b'"\\u0000\\ud83d\\ude00\x7f"',
        b'{"": {"": ""}}',
        b'{"a": 1, "a": [], "a": {"b": 1, "b": 2}}',
        b"[" + b"0," * 60_000 + b"1.0]",
    ],
    ids=lambda raw: raw[:12].decode(),
)
def test_whatever_is_accepted_has_a_canonical_form_that_reads_the_same(raw: bytes) -> None:
    value = with_unknown(raw)
    event = read_event("badge-earned", value)
    assert read_event("badge-earned", canonical_json(value)) == event


@given(st.sampled_from(sorted(INPUT_TOPICS)), st.data())
def test_a_damaged_value_is_refused_in_words_or_has_a_canonical_form(topic: str, data: st.DataObject) -> None:
    value = bytearray(json.dumps(dict(EXAMPLES[topic])).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(value) - 1))
        value[place : place + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3)
            | st.sampled_from([b'"', b"\\", b"\\ud800", b"{", b"[", b"1e9", b"NaN", b",", b":", b"\x00"])
        )
    damaged = bytes(value)
    event, detail = outcome(topic, damaged)
    if event is None:
        assert detail.isascii()
        assert detail.isprintable()
        assert len(detail) <= 256
    else:
        assert read_event(topic, canonical_json(damaged)) == event


def outcome(topic: str, value: bytes) -> tuple[InputEvent | None, str]:
    try:
        return read_event(topic, value), ""
    except InvalidEvent as error:
        return None, error.detail


@pytest.mark.parametrize("value", [b"", b"{", b"\xff"])
def test_what_is_no_json_has_no_canonical_form(value: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which of the parsers' errors does not matter
        canonical_json(value)


@pytest.mark.parametrize("levels", [300, MOST_LEVELS - 3])
def test_content_of_many_levels_is_compared_to_the_last(levels: int) -> None:
    one, other = (b'[{"b": 1, "a": %d}' % last for last in (1, 2))
    inside = [b"[" * levels + item + b"]" + b"]" * levels for item in (one, other)]
    assert same(inside[0], b" ".join(inside[0].replace(b'"b": 1, "a": 1', b'"a":1.0,"b":1').partition(b"{")))
    assert not same(*inside)


def test_halves_of_surrogate_pairs_are_compared_as_they_are() -> None:
    assert same(rb'{"\ud800": "\udc00"}', rb'{"\uD800":"\uDC00"}')
    assert not same(rb'"\ud800"', rb'"\ud801"')
    assert not same(rb'"\ud800"', rb'"\\ud800"')


def test_numbers_of_thousands_of_digits_are_compared_exactly() -> None:
    assert same(b"9" * 5_000, b"9" * 5_000 + b".0")
    assert not same(b"9" * 5_000, b"9" * 4_999 + b"8")
