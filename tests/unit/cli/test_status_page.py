"""`connects status` as people read it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from worker.cli import app
from worker.cli.status import status_page
from worker.kafka.holds import Hold, hold_in_words
from worker.kafka.records import TopicPartition
from worker.problems import NEXT, Found
from worker.queries.lag import HiddenRecords, Lag, UnavailablePartition
from worker.queries.positions import HoldRecord
from worker.queries.status import NotedDecision, Status, StatusProblem
from worker.queries.status import _Ledger as LedgerFigures
from worker.queries.status import _problems as problems
from worker.settings import Settings

SINCE = datetime(2026, 6, 1, 12, tzinfo=UTC)
ALL_WELL = Status(
    role="active",
    holder="host:1",
    epoch=3,
    lag_records=0,
    lag_seconds=0.0,
    lag_by_topic={},
    business_time=None,
    held_back_by=None,
    settlements_pending=0,
    clock_due=0,
    outbox_pending=0,
    outbox_age_seconds=0.0,
    parked=0,
    parked_waiting=0,
    dead_letters=0,
    dead_letters_unsent=0,
    overdrawn_wallets=0,
    commands_open=0,
    charges_unanswered=0,
    missing_topics=[],
    missing_output_topics=[],
    stopped_partitions=[],
    problems=[],
    for_operators=[],
    charges_waiting=[],
)


def printed(page: RenderableType) -> str:
    console = Console(width=200, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(page)
    return captured.get()


def rows(status: Status) -> dict[str, str]:
    """The lines of the table, by their names."""
    lines = printed(status_page(status)).splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition("  ") for line in lines if line.strip())}


def test_missing_topics_are_named_inputs_and_outputs() -> None:
    missing = rows(
        msgspec.structs.replace(
            ALL_WELL, missing_topics=["badge-earned", "hire-made"], missing_output_topics=["eu-wallet-updated"]
        )
    )
    assert missing["missing topics"] == "badge-earned, hire-made"
    assert missing["missing output topics"] == "eu-wallet-updated"


LAPSED = NotedDecision(7, datetime(2026, 6, 1, tzinfo=UTC), "paid-after-lapse", {"freelancer_id": "f-1"}, "Paid late.")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (msgspec.structs.replace(ALL_WELL, for_operators=[LAPSED]), 0),
        (msgspec.structs.replace(ALL_WELL, problems=[StatusProblem("no worker runs", SINCE, "Start one")]), 1),
    ],
)
def test_only_what_is_marked_needs_a_person(status: Status, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(_settings: Settings) -> Status:
        return status

    monkeypatch.setattr("worker.queries.status.status", found)
    for name, value in {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "DATABASE_URL": "postgresql://u@127.0.0.1:1/x",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("worker.cli._asking.silence_library_logs", lambda: None)  # it would silence other tests' logs
    answer = CliRunner().invoke(app, ["status"])
    assert answer.exit_code == code
    assert ("! " in answer.stdout) == (code == 1)


def test_what_is_worth_knowing_is_not_shown_as_a_call_to_act() -> None:
    page = printed(status_page(msgspec.structs.replace(ALL_WELL, for_operators=[LAPSED])))
    assert "Worth knowing (decided; nothing waits for it):\n2026-06-01 00:00:00  decision 7: Paid late.\n" in page
    assert "!" not in page
    assert "Worth knowing" not in printed(status_page(ALL_WELL))


def test_nothing_is_said_of_topics_when_none_is_missing() -> None:
    assert not [name for name in rows(ALL_WELL) if "missing" in name]


def test_what_only_kafka_knows_is_unknown_once_while_it_is_away() -> None:
    away = rows(msgspec.structs.replace(ALL_WELL, lag_records=None, missing_topics=None, missing_output_topics=None))
    assert away["missing topics"] == away["lag"] == "unknown: Kafka cannot be asked"
    assert "missing output topics" not in away


@pytest.mark.parametrize(
    ("count", "lag", "parked"),
    [(0, "0 records, 0.0 s", "0, with 0 messages waiting"), (1, "1 record, 0.0 s", "1, with 1 message waiting")],
)
def test_counts_are_shown_in_their_own_number(count: int, lag: str, parked: str) -> None:
    shown = rows(msgspec.structs.replace(ALL_WELL, lag_records=count, parked=count, parked_waiting=count))
    assert (shown["lag"], shown["parked"]) == (lag, parked)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (
            1,
            [
                ("1 wallet or job is stopped by a failure, and 1 message waits behind it. See `connects parked list`."),
                (
                    "1 dead letter has waited to be sent for more than 60 s. Does a worker run, and does "
                    "connects-dead-letters take messages of 4 MiB?"
                ),
                (
                    "the output topic topic-0 does not exist, and 1 batch waits to be published. "
                    "Make it with `connects topics create`."
                ),
                "no worker runs, and 1 record waits. Start one with `connects run`.",
            ],
        ),
        (
            2,
            [
                (
                    "2 wallets or jobs are stopped by a failure, and 2 messages wait behind them. "
                    "See `connects parked list`."
                ),
                (
                    "2 dead letters have waited to be sent for more than 60 s. Does a worker run, and does "
                    "connects-dead-letters take messages of 4 MiB?"
                ),
                (
                    "the output topics topic-0, topic-1 do not exist, and 2 batches wait to be published. "
                    "Make them with `connects topics create`."
                ),
                "no worker runs, and 2 records wait. Start one with `connects run`.",
            ],
        ),
    ],
)
def test_problems_are_shown_in_their_own_number(count: int, words: list[str]) -> None:
    lag = Lag(count, 301.0, {}, None, [], [f"topic-{number}" for number in range(count)], [])
    assert words_of(problems(ledger(count, held=False), lag, None, count)) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, "1 record has waited for 301 s."), (2, "the oldest of 2 records has waited for 301 s.")],
)
def test_a_long_lag_is_shown_in_its_own_number(count: int, words: str) -> None:
    assert words_of(problems(ledger(0, held=True), Lag(count, 301.0, {}, None, [], [], []), None, 0)) == [words]


WAITING = "settlements, expiries and cycle starts wait for it."


def test_what_keeps_a_partition_from_being_read_is_shown_with_its_name() -> None:
    lag = Lag(
        *(0, 0.0, {}, None, [], [], []),
        hidden=[HiddenRecords("hire-made", 1, 7, SINCE, 12), HiddenRecords("hire-made", 2, 1, SINCE, None)],
        unavailable=[UnavailablePartition("badge-earned", 1, "has no leader")],
        unwritable=[UnavailablePartition("eu-wallet-updated", 0, "has no leader")],
        wrong_topics=["eu-connects-relay-marker has cleanup.policy=delete"],
    )
    ends = "It ends when its producer ends it or is restarted, at the latest after that producer's"
    assert words_of(problems(ledger(0, held=True), lag, None, 3)) == [
        "eu-connects-relay-marker has cleanup.policy=delete.",
        (
            "eu-wallet-updated, partition 0 has no leader: nothing is published until it can be written to, and "
            "3 batches wait to be published. It goes on by itself then."
        ),
        f"badge-earned, partition 1 has no leader; {WAITING} Reading goes on by itself when it can.",
        (
            "hire-made, partition 1: at most 7 records are hidden by an open transaction of another producer "
            f"(producer id 12) since 2026-06-01 12:00:00 UTC; {WAITING} {ends} transaction.timeout.ms."
        ),
        (
            "hire-made, partition 2: 1 record is hidden by an open transaction of another producer "
            f"since 2026-06-01 12:00:00 UTC; {WAITING} {ends} transaction.timeout.ms."
        ),
    ]


def test_what_is_on_hold_is_shown_with_what_waits() -> None:
    held = HoldRecord("job-closed", None, SINCE, "ana", "garbage", business_time_waits=True, records=1)
    other = HoldRecord("hire-made", 2, SINCE, "ana", "garbage", business_time_waits=False)
    assert rows(msgspec.structs.replace(ALL_WELL, holds=[held, other]))["on hold"] == (
        "job-closed, all partitions, 1 record waiting, business time waits; "
        "hire-made, partition 2, business time goes on"
    )
    assert "on hold" not in rows(ALL_WELL)


def test_records_on_hold_are_no_lag_that_somebody_has_to_repair() -> None:
    place = TopicPartition("job-closed", 0)
    hold = Hold(place, lets_time_go_on=False, actor="ana", why="garbage", since=SINCE)
    lag = Lag(7, 0.0, {}, None, [], [], [], on_hold={place: 7})
    for held in (True, False):
        figures = msgspec.structs.replace(ledger(0, held=held), holds=[hold])
        assert words_of(problems(figures, lag, None, 0)) == [f"{hold_in_words(hold)}."]
    more = msgspec.structs.replace(lag, records=9, seconds=301.0)
    assert words_of(problems(ledger(0, held=True), more, None, 0)) == ["the oldest of 2 records has waited for 301 s."]
    assert words_of(problems(ledger(0, held=False), more, None, 0)) == [
        "no worker runs, and 2 records wait. Start one with `connects run`."
    ]


def test_a_lag_of_nothing_does_not_stand_alone_where_records_are_hidden() -> None:
    hidden = msgspec.structs.replace(
        ALL_WELL,
        hidden=[HiddenRecords("hire-made", 1, 7, SINCE, 12)],
        unavailable_partitions=[UnavailablePartition("badge-earned", 1, "has no leader")],
    )
    assert rows(hidden)["hidden"] == "at most 7 records behind open transactions; 1 partition that cannot be asked"
    assert "hidden" not in rows(ALL_WELL)


def words_of(found: Iterable[Found]) -> list[str]:
    known = list(found)
    assert {one.kind for one in known} <= NEXT.keys()
    return [one.what for one in known]


def ledger(count: int, *, held: bool) -> LedgerFigures:
    waiting = dict.fromkeys(("parked", "parked_triggers", "dead_letters_overdue"), count)
    return LedgerFigures(UUID(int=0), 1, "host:1", held, None, waiting, [], [])
