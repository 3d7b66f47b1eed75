"""`traceparent` and `tracestate` of a record: what counts, and what is left out of account."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.tracing.trace_context import context_of, sent_context, written

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"


def of(traceparent: bytes | None, *others: tuple[str, bytes | None]) -> tuple[str, str] | None:
    context = sent_context((("traceparent", traceparent), *others))
    return None if context is None else written(context)


def test_a_valid_header_names_the_parent_among_any_others() -> None:
    headers = (("ce_id", b"1"), ("traceparent", VALID.encode()), ("tracestate", b"a=1,b=2"), ("odd", None))
    context = sent_context(headers)
    assert context is not None
    assert (f"{context.trace_id:032x}", f"{context.span_id:016x}") == (TRACE, SPAN)
    assert (context.is_remote, context.trace_flags.sampled) == (True, True)
    assert written(context) == (VALID, "a=1,b=2")


def test_what_is_not_sampled_stays_so() -> None:
    assert of(f"00-{TRACE}-{SPAN}-00".encode()) == (f"00-{TRACE}-{SPAN}-00", "")


def test_a_later_version_counts_as_far_as_it_is_known() -> None:
    assert of(f"cc-{TRACE}-{SPAN}-01-what-comes".encode()) == (VALID, "")


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        b"",
        b"nonsense",
        b"\xff\xfe\x00",
        VALID.upper().encode(),
        VALID.encode("utf-16"),
        f"00-{TRACE}-{SPAN}".encode(),
        f"00-{TRACE}-{SPAN}-01-more".encode(),
        f"ff-{TRACE}-{SPAN}-01".encode(),
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE[:-1]}g-{SPAN}-01".encode(),
        f"cc-{TRACE}-{SPAN}-01-{'x' * 500}".encode(),
        b"00-" + b"a" * 10_000_000,
    ],
)
def test_a_header_that_is_not_valid_counts_as_none(traceparent: bytes | None) -> None:
    assert of(traceparent) is None


def test_two_traceparents_count_as_none_and_so_does_a_name_in_capitals() -> None:
    assert of(VALID.encode(), ("traceparent", VALID.encode())) is None
    assert sent_context((("Traceparent", VALID.encode()),)) is None
    assert sent_context(()) is None


@pytest.mark.parametrize(
    "state", [None, b"\xff", b"a=" + b"x" * 511, b"a=1,", b"no pair", ("a=1," * 200).encode()], ids=repr
)
def test_a_tracestate_that_is_not_valid_does_not_cost_the_parent(state: bytes | None) -> None:
    found = of(VALID.encode(), ("tracestate", state))
    assert found is not None
    assert found[0] == VALID
    assert len(found[1]) <= 512


def test_beyond_a_thousand_headers_none_is_looked_for() -> None:
    many = [("h", b"")] * 999
    assert sent_context((*many, ("traceparent", VALID.encode()))) is not None
    assert sent_context((*many, ("h", b""), ("traceparent", VALID.encode()))) is None


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_no_bytes_fail_and_what_is_taken_is_written_as_the_standard_says(traceparent: bytes, state: bytes) -> None:
    found = of(traceparent, ("tracestate", state))
    assert found is None or context_of(*found) is not None
