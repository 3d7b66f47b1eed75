"""The pure parts of the console: cursors, parameters, the chart, the file, paths, and examples of the API."""

import csv
import io
import uuid
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.console.addresses import is_id, page_of, page_of_change, page_of_history, page_of_topic
from worker.console.chart import HEIGHT, WIDTH, balance_chart
from worker.console.csv_file import history_as_csv
from worker.console.examples import EXAMPLES
from worker.console.openapi import VALUES
from worker.console.paging import Cursor, WrongCursor, read_cursor
from worker.console.parameters import WrongParameter, kind_typed, version_typed
from worker.console.rendering import signed, verdict_in_words, with_instants
from worker.console.views import Page
from worker.queries.history import ChangeRecord, InputCause, OtherCause

LEDGER = uuid.UUID(int=7)
BEGUN = datetime(2026, 11, 1, 9, tzinfo=UTC)


def change(version: int, delta: int, balance: int, **more: object) -> ChangeRecord:
    at = BEGUN + timedelta(days=version)
    cause = InputCause("job-closed", 0, 0, version, f"e-{version}")
    made = ChangeRecord(version, at, at, delta, 0, balance, "adjust", "adjusted", "2026-01-01", "", cause, {})
    return msgspec.structs.replace(made, **more)


@pytest.mark.parametrize("kind", [None, "grant.monthly"])
def test_a_cursor_is_read_back_by_the_question_it_belongs_to(kind: str | None) -> None:
    text = Cursor(str(LEDGER), "f-1", kind, 12).written()
    assert read_cursor(text, LEDGER, "f-1", kind) == 12
    for ledger, freelancer, other in ((uuid.UUID(int=8), "f-1", kind), (LEDGER, "f-2", kind), (LEDGER, "f-1", "x")):
        with pytest.raises(WrongCursor, match="another ledger"):
            read_cursor(text, ledger, freelancer, other)


@given(st.text(max_size=60))
def test_whatever_else_is_no_cursor(text: str) -> None:
    with pytest.raises(WrongCursor):
        read_cursor(text, LEDGER, "f-1", None)


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "9" * 19, "\N{ARABIC-INDIC DIGIT ONE}", " 1"])
def test_a_version_is_a_whole_number_above_0(text: str) -> None:
    with pytest.raises(WrongParameter, match=r"^before: "):
        version_typed({"before": text})
    assert (version_typed({}), version_typed({"before": ""}), version_typed({"before": "12"})) == (None, None, 12)


def test_a_kind_is_the_name_of_a_rule() -> None:
    assert (kind_typed({"kind": "grant.monthly"}), kind_typed({"kind": ""}), kind_typed({})) == (
        "grant.monthly",
        None,
        None,
    )
    with pytest.raises(WrongParameter, match=r"^kind: "):
        kind_typed({"kind": "x' OR 1"})


def test_the_line_of_the_chart_ends_at_the_balance() -> None:
    changes = [change(1, 40, 40), change(2, -12, 28), change(3, -30, -2), change(4, 12, 10, occurred_at=BEGUN)]
    chart = balance_chart(changes[::-1])
    assert chart is not None
    assert [marker.kind for marker in chart.markers] == ["in", "out", "out", "in"]
    across = [marker.x for marker in chart.markers]
    assert across == sorted(across), "a late event goes back in time on the line"
    assert all(0 <= marker.x <= WIDTH and 0 <= marker.y <= HEIGHT for marker in chart.markers)
    heights = {balance: marker.y for balance, marker in zip((40, 28, -2, 10), chart.markers, strict=True)}
    assert heights[40] < heights[28] < heights[10] < chart.zero < heights[-2]
    assert chart.path.endswith(f"V{chart.markers[-1].y}")
    assert [tick.label for tick in chart.ticks] == ["-2", "0", "40"]


def test_a_marker_of_the_chart_says_in_utc_when_its_change_was() -> None:
    chart = balance_chart([change(2, -12, 28), change(1, 40, 40)])
    assert chart is not None
    assert chart.markers[1].words == "2026-11-03 09:00 UTC: -12, balance 28. "


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-09-09 09:00:07", '<time datetime="2026-09-09T09:00:07Z">2026-09-09 09:00:07 UTC</time>'),
        (
            "<b> since 2026-09-09 09:00:07 UTC; x",
            '&lt;b&gt; since <time datetime="2026-09-09T09:00:07Z">2026-09-09 09:00:07 UTC</time>; x',
        ),
        ("2026-09-09", "2026-09-09"),
        ("f-2026-09-09 09:00:071", "f-2026-09-09 09:00:071"),
        (7, "7"),
    ],
)
def test_instants_of_the_text_of_operators_are_marked_and_all_else_is_escaped(text: object, shown: str) -> None:
    assert with_instants(text) == shown


def test_a_chart_needs_two_changes_and_takes_two_of_one_instant() -> None:
    assert balance_chart([]) is None
    assert balance_chart([change(1, 40, 40)]) is None
    assert balance_chart([change(2, 0, 0, occurred_at=BEGUN), change(1, 0, 0, occurred_at=BEGUN)]) is not None


def test_no_text_of_a_file_is_a_formula() -> None:
    changes = [change(2, -5, 35, explanation='=HYPERLINK("x")', subject={"job_id": "-1+1"}), change(1, 40, 40)]
    body = bytes(history_as_csv("f:1", Page(changes, 1)).body).decode()
    _, first, second, last = csv.reader(io.StringIO(body))
    assert (first[2], first[6], first[8]) == ("-5", "'-1+1", '\'=HYPERLINK("x")')
    assert second[2] == "40"
    assert last == ["earlier changes: the same address with before=1"]


def test_paths_hold_ids_as_they_are_and_a_change_leads_to_its_reply() -> None:
    assert page_of("event", "cycle:f-1:2026-11-01") == "/events/cycle:f-1:2026-11-01"
    assert page_of_topic("expiry", "f-1") == "/questions/expiry?freelancer=f-1"
    assert page_of_history("f-1", kind="adjust", before=7) == "/freelancers/f-1?kind=adjust&before=7#history"
    assert page_of_change(change(1, 4, 4)) == "/events/e-1"
    assert page_of_change(change(1, 4, 4, cause=OtherCause("expiry:f-1:1"))) == "/events/expiry:f-1:1"
    assert page_of_change(change(1, 4, 4, subject={"proposal_id": "p-1"})) == "/proposals/p-1"
    nameless = InputCause("job-closed", 0, 0, 1, None)
    assert page_of_change(change(1, 4, 4, cause=nameless)) is None


@pytest.mark.parametrize(
    "text", ["", "<b>", "a b", "a/b", "a%20", "\N{LATIN SMALL LETTER U WITH DIAERESIS}", "x" * 161, "a\n"]
)
def test_an_id_has_few_characters(text: str) -> None:
    assert not is_id(text)
    assert is_id("renewal:f-1._:2026-11-26")


def test_a_verdict_is_three_words_and_a_number() -> None:
    numbers = {"spent": 12, "back": 5}
    assert verdict_in_words("partly", numbers) == "Partly came back: 5 of 12"
    assert verdict_in_words("no", {"spent": 12}) == "Did not come back: 0 of 12"
    assert verdict_in_words("info", {"balance": 3}) == "Reply"
    assert (signed(3), signed(-3)) == ("+3", "\N{MINUS SIGN}3")


@pytest.mark.parametrize("name", sorted(VALUES))
def test_each_example_is_a_value_of_its_path(name: str) -> None:
    if name == "operators":  # of a console that asks no worker
        assert EXAMPLES[name]["status"] is None
    if name == "changes":  # a reader cannot know which of the two causes it is
        assert set(EXAMPLES[name]["changes"][0]) == set(ChangeRecord.__struct_fields__)
        return
    read = msgspec.convert(EXAMPLES[name], VALUES[name])
    assert set(msgspec.to_builtins(read)) == set(EXAMPLES[name])
