"""What `connects verify` writes on the side while it works."""

import pytest

from worker.cli._progress import show_progress
from worker.proof.checks import Finding, Progress


def test_a_line_has_what_is_done_of_all_the_rate_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = Progress(show_progress, every=2.0)
    progress.begin("hashes", 4_000)
    now = 101.0
    progress.advance(500)
    assert capsys.readouterr().err == "", "not yet"
    now = 102.0
    progress.advance(500)
    assert capsys.readouterr().err == "hashes: 1000 of 4000 decisions, 500 a second, 6 s left\n"
    progress.begin("owed", 0)
    now = 105.0
    progress.advance(30)
    assert capsys.readouterr().err == "owed: 30 decisions, 10 a second\n"


@pytest.mark.parametrize(
    ("finding", "place"),
    [
        (Finding("c", "tampered", "d", "changes", 4, 2), "changes, decision 4, batch 2"),
        (Finding("c", "tampered", "d", "commands"), "commands"),
        (Finding("c", "owed", "d", seq=4), "decision 4"),
    ],
)
def test_a_finding_says_where_it_is(finding: Finding, place: str) -> None:
    assert finding.place == place


def test_beside_live_traffic_more_may_come_than_there_was_and_no_time_is_left() -> None:
    progress = Progress()
    progress.begin("decided-again", 10)
    progress.advance(11)
    assert progress.seconds_left is None
