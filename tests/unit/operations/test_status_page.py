"""`connects status` as people read it."""

import msgspec
from rich.console import Console, RenderableType

from worker.operations.pages import status_page
from worker.operations.status import Status

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


def test_nothing_is_said_of_topics_when_none_is_missing() -> None:
    assert not [name for name in rows(ALL_WELL) if "missing" in name]


def test_what_only_kafka_knows_is_unknown_once_while_it_is_away() -> None:
    away = rows(msgspec.structs.replace(ALL_WELL, lag_records=None, missing_topics=None, missing_output_topics=None))
    assert away["missing topics"] == away["lag"] == "unknown: Kafka cannot be asked"
    assert "missing output topics" not in away
