"""The rows of "What bad input gets" that parsing decides, and the limits of every kind of value."""

import json
import string
from datetime import UTC, datetime, timedelta, timezone
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.catalogue import INPUT_TOPICS
from schemas.examples import EXAMPLES
from schemas.export import topic_schema
from schemas.jobs import HireMade, JobClosed
from schemas.json_text import MOST_LEVELS
from schemas.memberships import MembershipPlanChosen
from schemas.proposals import ProposalSubmitted
from schemas.reading import LARGEST_VALUE_BYTES, InvalidEvent, event_id_in, read_event

MOST_DETAIL = 256


def message(topic: str, **changes: object) -> bytes:
    """The topic's example with some fields changed; a field set to `...` is left out."""
    content = {**EXAMPLES[topic], **changes}
    return json.dumps({name: value for name, value in content.items() if value is not ...}).encode()


def refusal(topic: str, value: bytes | None) -> InvalidEvent:
    try:
        event = read_event(topic, value)
    except InvalidEvent as refused:
        error = refused
    else:
        raise AssertionError(f"this was read: {event!r}")
    assert isinstance(error, ValueError)
    assert str(error) == error.detail
    assert error.detail.isascii()
    assert error.detail.isprintable()
    assert len(error.detail) <= MOST_DETAIL
    assert error.field is None or error.detail.startswith(f"{error.field}: ")
    return error


def with_raw(topic: str, field: str, raw: bytes) -> bytes:
    """The topic's example with the JSON text of one field replaced."""
    return message(topic, **{field: "@@"}).replace(b'"@@"', raw)


@pytest.mark.parametrize("topic", INPUT_TOPICS)
def test_the_example_of_every_topic_is_read_as_its_own_model(topic: str) -> None:
    event = read_event(topic, message(topic))
    assert type(event) is INPUT_TOPICS[topic]
    for field, written in EXAMPLES[topic].items():
        if field != "occurred_at":
            assert getattr(event, field) == written


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "a tombstone"),
        (b"", "empty"),
        (b" ", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": 1,}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1} {}', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[" * 20_000, "nested too deep"),
        (b"[" * 400 + b"]" * 400, "not a JSON object but an array"),
        (b"9" * 5_000, "not a JSON object but a number of many digits"),
        (rb'"\ud800"', 'not a JSON object but "\\ud800"'),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b'{"a": "\xc3"}', "not UTF-8"),
        (b"[]", "not a JSON object but an array"),
        (b"null", "not a JSON object but null"),
        (b"7", "not a JSON object but 7"),
        (b'"event"', 'not a JSON object but "event"'),
    ],
)
def test_a_value_that_is_no_json_object_is_refused_in_words_of_its_own(value: bytes | None, words: str) -> None:
    error = refusal("badge-earned", value)
    assert error.field is None
    assert error.detail.startswith(words)


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
def test_numbers_that_json_does_not_know_are_refused_even_in_unknown_fields(constant: bytes) -> None:
    value = with_raw("badge-earned", "unknown", constant)
    assert refusal("badge-earned", value).detail.startswith("not JSON")


def test_the_words_nan_and_infinity_may_be_in_a_text() -> None:
    event = read_event("connects-adjusted", message("connects-adjusted", note="NaN of Infinity, -Infinity"))
    assert event.note == "NaN of Infinity, -Infinity"


def test_a_value_of_256_kib_is_read_and_one_byte_more_is_too_large() -> None:
    base = message("badge-earned", padding="")
    largest = message("badge-earned", padding="x" * (LARGEST_VALUE_BYTES - len(base)))
    assert len(largest) == 262_144
    assert read_event("badge-earned", largest).badge == "rising-talent"
    assert refusal("badge-earned", largest + b" ").detail.startswith("too large")


def test_too_large_is_said_before_anything_is_parsed() -> None:
    assert refusal("badge-earned", b"\xff" * (LARGEST_VALUE_BYTES + 1)).detail.startswith("too large")


def test_an_unknown_topic_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError):
        read_event("job-opened", b"{}")


def required(topic: str) -> list[str]:
    return [name for name, field in INPUT_TOPICS[topic].model_fields.items() if field.is_required()]


@pytest.mark.parametrize("topic", INPUT_TOPICS)
def test_a_missing_field_is_named(topic: str) -> None:
    for field in required(topic):
        error = refusal(topic, message(topic, **{field: ...}))
        assert (error.field, error.detail) == (field, f"{field}: missing")


@pytest.mark.parametrize("topic", INPUT_TOPICS)
def test_null_is_no_value_for_a_required_field(topic: str) -> None:
    for field in required(topic):
        error = refusal(topic, message(topic, **{field: None}))
        assert error.field == field, error


@pytest.mark.parametrize("topic", INPUT_TOPICS)
def test_a_field_of_the_wrong_type_is_named(topic: str) -> None:
    for field, wrong in product(INPUT_TOPICS[topic].model_fields, (True, [], {}, [1], {"a": 1}, 1.5)):
        error = refusal(topic, message(topic, **{field: wrong}))
        assert error.field == field, (wrong, error)


def test_optional_fields_may_be_left_out_or_null() -> None:
    for nothing in (..., None):
        assert read_event("hire-made", message("hire-made", proposal_id=nothing)).proposal_id is None
        assert (
            read_event("membership-plan-chosen", message("membership-plan-chosen", promo_code=nothing)).promo_code
            is None
        )
    assert read_event("proposal-submitted", message("proposal-submitted", boost_connects=...)).boost_connects == 0


MAY_BE_LEFT_OUT = [
    (topic, name)
    for topic, model in INPUT_TOPICS.items()
    for name, field in model.model_fields.items()
    if not field.is_required()
]


def test_there_are_fields_that_may_be_left_out() -> None:
    assert MAY_BE_LEFT_OUT == [
        ("hire-made", "proposal_id"),
        ("proposal-submitted", "boost_connects"),
        ("membership-plan-chosen", "promo_code"),
    ]


@pytest.mark.parametrize(("topic", "field"), MAY_BE_LEFT_OUT)
def test_null_counts_as_left_out_where_a_field_may_be(topic: str, field: str) -> None:
    assert read_event(topic, message(topic, **{field: None})) == read_event(topic, message(topic, **{field: ...}))
    published = topic_schema(topic)["properties"]
    assert isinstance(published, dict)
    assert {"type": "null"} in published[field]["anyOf"]


@pytest.mark.parametrize(("topic", "field"), MAY_BE_LEFT_OUT)
def test_a_field_that_may_be_left_out_is_refused_as_any_other(topic: str, field: str) -> None:
    for wrong in (True, [], {}, 1.5, "\x00"):
        error = refusal(topic, message(topic, **{field: wrong}))
        assert error.field == field


OF_OTHERS = {
    "half of a surrogate pair": rb'"\ud800"',
    "halves in the wrong order": rb'"a\udc00\ud83d"',
    "a NUL": rb'"\u0000"',
    "a half in a list": rb'[{"a": ["\udfff"]}]',
    "a half in a name": rb'{"\ud800": 1, "\u0000": 2, "": 3}',
    "a long number": b"9" * 5_000,
    "a long fraction": b"-0." + b"1" * 9_000,
    "a large number": b"1e999999999",
    "a small number": b"-1E-" + b"9" * 5_000,
    "as many levels as are read": b"[" * (MOST_LEVELS - 1) + b"]" * (MOST_LEVELS - 1),
    "brackets in text": b'["' + b"[{" * 40_000 + b'"]',
    "an own name, deeper": rb'{"event_id": 5, "occurred_at": "\ud800"}',
    "a repeated name": b'{"a": 1, "a": 2, "a": 3}',
}


@pytest.mark.parametrize("topic", INPUT_TOPICS)
def test_a_field_that_is_not_ours_decides_nothing(topic: str) -> None:
    for what, raw in OF_OTHERS.items():
        assert read_event(topic, with_raw(topic, "unknown", raw)) == read_event(topic, message(topic)), what
        in_front = b'{"unknown": ' + raw + b", " + message(topic)[1:]
        assert read_event(topic, in_front) == read_event(topic, message(topic)), what


@pytest.mark.parametrize("levels", [MOST_LEVELS, 20_000, 120_000])
@pytest.mark.parametrize(("opened", "closed"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_too_many_levels_are_refused_in_any_field(levels: int, opened: bytes, closed: bytes) -> None:
    """At once, too: what cannot be read must not keep the worker from anything else."""
    levels = min(levels, LARGEST_VALUE_BYTES // (len(opened) + len(closed)) - 100)
    value = with_raw("badge-earned", "unknown", opened * levels + b"1" + closed * levels)
    error = refusal("badge-earned", value)
    assert error.field is None
    assert error.detail == f"nested too deep: more than {MOST_LEVELS} levels of arrays and objects in one another"


@pytest.mark.parametrize("name", [rb"\ud800", rb"\u0000", "é".encode(), b"", b"x" * 9_000])
def test_the_name_of_a_field_that_is_not_ours_decides_nothing_either(name: bytes) -> None:
    value = b'{"' + name + rb'": "\udc00", ' + message("badge-earned")[1:]
    assert read_event("badge-earned", value) == read_event("badge-earned", message("badge-earned"))


@pytest.mark.parametrize("topic", INPUT_TOPICS)
@pytest.mark.parametrize("raw", [OF_OTHERS["half of a surrogate pair"], OF_OTHERS["a long number"]])
def test_beside_a_field_that_is_not_ours_our_own_are_refused_as_ever(topic: str, raw: bytes) -> None:
    for field in required(topic):
        for wrong in (..., None, True, [], {"a": [1]}, 1.5, "\x00"):
            alone = refusal(topic, message(topic, **{field: wrong}))
            value = b'{"unknown": ' + raw + b", " + message(topic, **{field: wrong})[1:]
            beside = refusal(topic, value)
            assert (beside.field, beside.detail) == (alone.field, alone.detail)


@pytest.mark.parametrize(
    "raw",
    [b"01", b"1.", b"+1", b"nan", b"[1,]", b'{"a"}', b'{"a": 1,}', b"'a'", b'"\x01"', rb'"\x41"', rb'"\ud8"', b""],
)
@pytest.mark.parametrize(
    "beside", [b"1", OF_OTHERS["half of a surrogate pair"], OF_OTHERS["as many levels as are read"]]
)
def test_what_is_not_json_is_refused_in_any_field(raw: bytes, beside: bytes) -> None:
    value = with_raw("badge-earned", "unknown", raw)[:-1] + b', "more": ' + beside + b"}"
    error = refusal("badge-earned", value)
    assert (error.field, error.detail[:8]) == (None, "not JSON")


def test_of_our_own_fields_the_last_counts_beside_one_that_is_not_ours() -> None:
    twice = rb'{"more": "\ud800", "badge": "\udc00", ' + message("badge-earned")[1:]
    assert read_event("badge-earned", twice) == read_event("badge-earned", message("badge-earned"))
    renamed = twice.replace(b'"freelancer_id"', rb'"freelancer\u005fid"')
    assert read_event("badge-earned", renamed) == read_event("badge-earned", message("badge-earned"))


def test_a_number_of_too_many_digits_is_named_with_its_field() -> None:
    error = refusal("connects-purchased", with_raw("connects-purchased", "connects", b"9" * 5_000))
    assert (error.field, error.detail) == ("connects", "connects: a number of too many digits")


@pytest.mark.parametrize("raw", OF_OTHERS.values(), ids=list(OF_OTHERS))
def test_the_event_id_of_what_is_not_an_event_is_found_beside_any_field(raw: bytes) -> None:
    value = with_raw("badge-earned", "unknown", raw).replace(b"rising-talent", b"?!")
    assert refusal("badge-earned", value).field == "badge"
    assert event_id_in(value) == EXAMPLES["badge-earned"]["event_id"]


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"{", b"7", b'{"event_id": 5}', b'{"event_id": "a b"}'])
def test_of_what_has_none_no_event_id_is_found(value: bytes | None) -> None:
    assert event_id_in(value) is None


def test_unknown_fields_are_ignored() -> None:
    event = read_event("job-closed", message("job-closed", colour="blue", nested={"event_id": 5}))
    assert not hasattr(event, "colour")


def test_the_last_of_a_repeated_key_counts() -> None:
    value = message("badge-earned")[:-1] + b', "badge": "top-rated"}'
    assert read_event("badge-earned", value).badge == "top-rated"


ID_FIELDS = [
    (topic, field)
    for topic, model in INPUT_TOPICS.items()
    for field in model.model_fields
    if (field.endswith("_id") and field != "charge_id") or field == "badge"
]
ID_CHARACTERS = string.ascii_letters + string.digits + "._:-"


@pytest.mark.parametrize(
    "bad",
    ["", "x" * 65, "a b", "a\n", "\na", "a\r", "a\x00", "a/b", "é", "a\u0301", "１", "a\u200b", "\U0001f600", "a;b"],  # noqa: RUF001 - a full-width digit is no digit here
    ids=ascii,
)
def test_an_id_is_1_to_64_plain_characters(bad: str) -> None:
    for topic, field in ID_FIELDS:
        error = refusal(topic, message(topic, **{field: bad}))
        assert error.field == field, (topic, error)
        assert "1 to 64 characters" in error.detail, (topic, error)


@pytest.mark.parametrize("good", ["a", "x" * 64, "AZaz09._:-", ".", "0", "-"])
def test_an_id_may_be_as_short_and_as_long_as_the_contract_says(good: str) -> None:
    for topic, field in ID_FIELDS:
        assert getattr(read_event(topic, message(topic, **{field: good})), field) == good, (topic, field)


@given(
    place=st.sampled_from(ID_FIELDS),
    text=st.one_of(st.text(max_size=70), st.text(ID_CHARACTERS, max_size=70), st.text(ID_CHARACTERS + " ;é/\n")),
)
def test_any_text_is_read_or_refused_as_an_id_by_its_length_and_characters(place: tuple[str, str], text: str) -> None:
    topic, field = place
    value = message(topic, **{field: text})
    if 1 <= len(text) <= 64 and set(text) <= set(ID_CHARACTERS):
        assert getattr(read_event(topic, value), field) == text
        return
    error = refusal(topic, value)
    assert error.field == field
    assert "1 to 64 characters" in error.detail


@pytest.mark.parametrize("charge_id", ["x", "x" * 160, "freelancer-9:2026-02-05:1"])
def test_a_charge_id_has_up_to_160_characters(charge_id: str) -> None:
    event = read_event("membership-charge-settled", message("membership-charge-settled", charge_id=charge_id))
    assert event.charge_id == charge_id


@pytest.mark.parametrize("charge_id", ["", "x" * 161, "a b", "a\n"])
def test_a_charge_id_has_no_more_and_no_others(charge_id: str) -> None:
    error = refusal("membership-charge-settled", message("membership-charge-settled", charge_id=charge_id))
    assert error.field == "charge_id"
    assert "1 to 160 characters" in error.detail


@pytest.mark.parametrize("topic", ["membership-plan-chosen", "promo-code-entered"])
@pytest.mark.parametrize("code", ["SAVE 50%", "été", "x" * 200, "🎁"])
def test_a_promotion_code_is_what_a_freelancer_typed(topic: str, code: str) -> None:
    assert read_event(topic, message(topic, promo_code=code)).promo_code == code


@pytest.mark.parametrize("topic", ["membership-plan-chosen", "promo-code-entered"])
@pytest.mark.parametrize("code", ["", "  ", "x" * 201, "a\x00", "a\nb", "\x1b[2J", "a\u2028b", "a\x85"])
def test_a_promotion_code_is_a_line_of_1_to_200_characters(topic: str, code: str) -> None:
    assert refusal(topic, message(topic, promo_code=code)).field == "promo_code"


BIGGEST = 2**63 - 1


@pytest.mark.parametrize(
    ("topic", "field", "least", "most"),
    [
        ("proposal-submitted", "connects", 0, 1_000_000),
        ("proposal-submitted", "boost_connects", 0, 1_000_000),
        ("connects-purchased", "connects", 0, 1_000_000),
        ("connects-adjusted", "connects", -1_000_000, 1_000_000),
        ("interview-won", "client_hires", 0, BIGGEST),
        ("interview-won", "client_spent_cents", 0, BIGGEST),
        ("earnings-balance-updated", "available_cents", 0, BIGGEST),
    ],
)
def test_numbers_have_their_bounds(topic: str, field: str, least: int, most: int) -> None:
    for number in (least, most):
        assert getattr(read_event(topic, message(topic, **{field: number})), field) == number
    below, above = (
        refusal(topic, message(topic, **{field: least - 1})),
        refusal(topic, message(topic, **{field: most + 1})),
    )
    assert (below.field, above.field) == (field, field)
    assert f"at least {least}" in below.detail
    assert f"at most {most}" in above.detail


@pytest.mark.parametrize(
    "raw", [b'"5"', b"5.0", b"5e0", b"true", b"null", b"[5]", b"0.5", b'""', b"1e2", b"9" * 4000, b"-" + b"9" * 4000]
)
def test_nothing_but_a_whole_number_in_range_is_a_number_of_connects(raw: bytes) -> None:
    assert refusal("connects-purchased", with_raw("connects-purchased", "connects", raw)).field == "connects"


@pytest.mark.parametrize(
    ("topic", "field", "known"),
    [
        ("job-closed", "closure", ["closed-by-client", "expired", "removed-by-marketplace"]),
        ("interview-won", "origin", ["proposal", "invite"]),
        ("proposal-submitted", "origin", ["proposal", "invite"]),
        ("certification-completed", "kind", ["skill-certification", "learning-path"]),
        ("membership-plan-chosen", "plan", ["basic", "plus"]),
        ("membership-charge-settled", "outcome", ["paid", "failed"]),
        ("account-suspended", "scope", ["account", "billing-method"]),
        ("account-reinstated", "scope", ["account", "billing-method"]),
    ],
)
def test_a_choice_is_one_of_the_contracts_words_to_the_letter(topic: str, field: str, known: list[str]) -> None:
    for word in known:
        assert getattr(read_event(topic, message(topic, **{field: word})), field) == word
    for word in ("", "Basic", known[0].upper(), f"{known[0]} ", f"{known[0]}\n", known[0].replace("-", "_") + "_"):
        error = refusal(topic, message(topic, **{field: word}))
        assert error.field == field
        assert all(f"'{other}'" in error.detail for other in known)


TEXTS = [
    ("connects-adjusted", "note", 2000),
    ("connects-adjusted", "actor", 200),
    ("membership-charge-settled", "source", 200),
]


@pytest.mark.parametrize(("topic", "field", "longest"), TEXTS)
def test_a_text_has_something_to_read_in_it_and_an_end(topic: str, field: str, longest: int) -> None:
    for good in ("x", "é" * longest, "\U0001f600" * longest, " two\nlines ", "\x7f"):
        assert getattr(read_event(topic, message(topic, **{field: good})), field) == good
    for bad in ("", " ", "\n\t", "\u00a0", "x" * (longest + 1), "a\x00b", "\x00"):
        assert refusal(topic, message(topic, **{field: bad})).field == field


@pytest.mark.parametrize(("topic", "field", "longest"), TEXTS)
@pytest.mark.parametrize("half", [rb'"\ud800"', rb'"a\udc00b"', rb'"\ud800\ud800"', rb'"\ud83d"'])
def test_half_of_a_surrogate_pair_is_refused_and_its_field_named(
    topic: str, field: str, longest: int, half: bytes
) -> None:
    del longest
    assert refusal(topic, with_raw(topic, field, half)).field == field


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert (
        read_event("connects-adjusted", with_raw("connects-adjusted", "note", rb'"\ud83d\ude00"')).note == "\U0001f600"
    )


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2026-01-31T09:30:00Z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31t09:30:00z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31 09:30:00Z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31 09:30:00.5z", datetime(2026, 1, 31, 9, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31T09:30:00+05:30", datetime(2026, 1, 31, 4, 0, tzinfo=UTC)),
        ("2026-01-31T23:30:00-08:00", datetime(2026, 2, 1, 7, 30, tzinfo=UTC)),
        ("2026-01-31T09:30:00+23:59", datetime(2026, 1, 30, 9, 31, tzinfo=UTC)),
        ("2026-01-31T09:30:00-00:00", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31T09:30:00.1Z", datetime(2026, 1, 31, 9, 30, 0, 100_000, tzinfo=UTC)),
        ("2026-01-31T09:30:00.123456Z", datetime(2026, 1, 31, 9, 30, 0, 123_456, tzinfo=UTC)),
        ("2026-01-31T09:30:00.1234569Z", datetime(2026, 1, 31, 9, 30, 0, 123_456, tzinfo=UTC)),
        ("2026-01-31T23:59:59." + "9" * 40 + "Z", datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("1969-12-31T23:00:00-01:00", datetime(1970, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_an_instant_is_kept_in_utc_to_the_microsecond(written: str, instant: datetime) -> None:
    occurred_at = read_event("badge-earned", message("badge-earned", occurred_at=written)).occurred_at
    assert occurred_at == instant
    assert occurred_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("2026-01-31", "seconds and an offset"),
        ("2026-01-31T09:30Z", "seconds and an offset"),
        ("2026-01-31T09:30:00", "seconds and an offset"),
        ("2026-01-31T09:30:00+0100", "seconds and an offset"),
        ("2026-01-31T09:30:00+01", "seconds and an offset"),
        ("2026-01-31T09:30:00+01:00:00", "seconds and an offset"),
        ("2026-01-31T09:30:00+24:00", "seconds and an offset"),
        ("2026-01-31T09:30:00+01:60", "seconds and an offset"),
        ("2026-01-31T09:30:00 Z", "seconds and an offset"),
        ("2026-01-31T09:30:00Z\n", "seconds and an offset"),
        (" 2026-01-31T09:30:00Z", "seconds and an offset"),
        ("2026-01-31T09:30:00.Z", "seconds and an offset"),
        ("2026-01-31T09:30:00,5Z", "seconds and an offset"),
        ("2026-01-31_09:30:00Z", "seconds and an offset"),
        ("20260131T093000Z", "seconds and an offset"),
        ("2026-W05-6T09:30:00Z", "seconds and an offset"),
        ("2026-031T09:30:00Z", "seconds and an offset"),
        ("+2026-01-31T09:30:00Z", "seconds and an offset"),
        ("٢٠٢٦-01-31T09:30:00Z", "seconds and an offset"),
        ("1769851800", "seconds and an offset"),
        ("now", "seconds and an offset"),
        ("", "seconds and an offset"),
        ("2026-01-31T24:00:00Z", "seconds and an offset"),
        ("2026-01-31T09:60:00Z", "seconds and an offset"),
        ("2026-01-31T23:59:60Z", "leap second"),
        ("2026-01-31t23:59:60.5z", "leap second"),
        ("2026-01-31T09:30:61Z", "exists"),
        ("2026-02-29T00:00:00Z", "exists"),
        ("2026-13-01T00:00:00Z", "exists"),
        ("2026-00-10T00:00:00Z", "exists"),
        ("2026-04-31t00:00:00z", "exists"),
        ("0000-01-01T00:00:00Z", "exists"),
        ("0001-01-01T00:00:00+01:00", "between the years"),
        ("9999-12-31T23:59:59-00:01", "between the years"),
    ],
)
def test_what_is_not_rfc_3339_or_cannot_be_stored_is_no_instant(written: str, words: str) -> None:
    error = refusal("badge-earned", message("badge-earned", occurred_at=written))
    assert error.field == "occurred_at"
    assert words in error.detail


@pytest.mark.parametrize("number", [1769851800, 1769851800.5, 0, -1])
def test_a_unix_time_is_no_instant(number: float) -> None:
    assert refusal("badge-earned", message("badge-earned", occurred_at=number)).field == "occurred_at"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("badge", "secret " * 30_000),
        ("badge", ["secret"] * 9000),
        ("badge", {"secret" * 900: 1}),
        ("occurred_at", "2026-02-30T00:00:00." + "1" * 9000 + "Z"),
    ],
    ids=["text", "array", "object", "instant"],
)
def test_a_refusal_echoes_little_of_what_it_refuses(field: str, value: object) -> None:
    detail = refusal("badge-earned", message("badge-earned", **{field: value})).detail
    assert detail.count("secret") * len("secret") <= 80


def test_an_event_is_immutable_and_equal_to_its_like() -> None:
    one, other = (read_event("job-closed", message("job-closed")) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(ValidationError):
        one.job_id = "another"


def test_an_event_can_be_made_in_python_from_an_aware_datetime() -> None:
    zone = timezone(timedelta(hours=2))
    event = JobClosed(
        event_id="e-1", occurred_at=datetime(2026, 1, 1, 2, tzinfo=zone), job_id="j", client_id="c", closure="expired"
    )
    assert event.occurred_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert event.occurred_at.tzinfo is UTC
    assert read_event("job-closed", event.model_dump_json().encode()) == event
    for bad in (datetime(2026, 1, 1), "2026-01-01T00:00:00Z", 5):  # noqa: DTZ001 - a naive one is what must be refused
        with pytest.raises(ValidationError):
            JobClosed(event_id="e-1", occurred_at=bad, job_id="j", client_id="c", closure="expired")


@pytest.mark.parametrize("topic", INPUT_TOPICS)
def test_what_a_model_writes_it_reads_again(topic: str) -> None:
    event = read_event(topic, message(topic))
    assert read_event(topic, event.model_dump_json().encode()) == event


def test_events_carry_what_the_contract_lists_and_nothing_else() -> None:
    assert list(ProposalSubmitted.model_fields) == [
        "event_id", "occurred_at", "freelancer_id", "job_id", "proposal_id", "connects", "boost_connects", "origin",
    ]  # fmt: skip
    assert list(HireMade.model_fields) == [
        "event_id",
        "occurred_at",
        "job_id",
        "freelancer_id",
        "contract_id",
        "proposal_id",
    ]
    assert list(MembershipPlanChosen.model_fields) == ["event_id", "occurred_at", "freelancer_id", "plan", "promo_code"]
