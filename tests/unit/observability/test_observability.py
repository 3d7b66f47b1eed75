import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog

from tests.kit.logs import log_plainly
from worker import observability
from worker.observability import (
    REGISTRY,
    configure_logging,
    observe_batch,
    observe_input,
    observe_role,
    observe_sample,
    observe_work,
)
from worker.settings import MASK, Settings

SECRETS = Settings(
    kafka_bootstrap_servers="b:9092",
    database_url="postgresql://worker:p%40ss-word@db/connects",
    kafka_sasl_password='quo"ted',  # noqa: S106 - made up
    log_level="info",
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    yield
    log_plainly()
    logging.basicConfig(force=True)


def shown(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_each_event_is_one_line_of_json() -> None:
    out = io.StringIO()
    configure_logging(SECRETS, out)
    structlog.get_logger("a").info("batch.committed", batch=7, at=datetime(2026, 3, 14, tzinfo=UTC))
    structlog.get_logger("a").debug("not shown")
    logging.getLogger("somebody.else").warning("odd %s", "thing")
    ours, theirs = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (ours["event"], ours["batch"], ours["level"]) == ("batch.committed", 7, "info")
    assert ours["timestamp"].endswith("Z")
    assert (theirs["event"], theirs["level"]) == ("odd thing", "warning")


def test_no_line_holds_a_secret_wherever_it_came_from() -> None:
    out = io.StringIO()
    configure_logging(SECRETS, out)
    log = structlog.get_logger("a")
    log.warning("away", error=f"could not connect to {SECRETS.database_url}")
    log.warning("away", error="password p@ss-word, or " + SECRETS.kafka_sasl_password.get_secret_value())
    try:
        int(SECRETS.kafka_sasl_password.get_secret_value())
    except ValueError:
        log.exception("failed")
    text = out.getvalue()
    for secret in ("p%40ss-word", "p@ss-word", "quo"):
        assert secret not in text
    assert text.count(MASK) >= 4
    assert all(json.loads(line) for line in text.splitlines())


def test_a_terminal_gets_lines_for_people() -> None:
    out = Terminal()
    configure_logging(SECRETS, out)
    structlog.get_logger("a").info("leading", epoch=3)
    assert "leading" in out.getvalue()
    assert not out.getvalue().startswith("{")


def test_other_peoples_libraries_are_quiet_unless_something_is_wrong() -> None:
    out = io.StringIO()
    configure_logging(SECRETS, out)
    logging.getLogger("aiokafka.consumer").info("joined")
    logging.getLogger("aiokafka.consumer").error("lost")
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["lost"]


def test_a_batch_is_counted_by_outcome_and_reason_and_alarms_on_their_own() -> None:
    before = {
        name: shown(name) or 0
        for name in ("connects_event_id_conflicts_total", "connects_dead_letters_total", "connects_records_total")
    }
    observe_batch(
        outcomes={("applied", "registered"): 5, ("rejected", "event-id-conflict"): 2, ("rejected", "invalid-event"): 1},
        records_decided=8,
        late=3,
        loading_seconds=0.01,
        deciding_seconds=0.02,
        encoding_seconds=0.01,
        committing_seconds=0.03,
    )
    assert shown("connects_decisions_total", outcome="applied", reason="registered") == 5
    assert shown("connects_event_id_conflicts_total") == before["connects_event_id_conflicts_total"] + 2
    assert shown("connects_dead_letters_total") == before["connects_dead_letters_total"] + 3
    assert shown("connects_records_total") == before["connects_records_total"] + 8


def test_a_standby_shows_nothing_of_what_only_the_leader_knows() -> None:
    observe_role(leads=True, present_epoch=4)
    observe_input(lag_by_topic={"job-closed": 9}, oldest_seconds=2.5, stopped=1, missing=1, at=datetime.now(UTC))
    observe_work(due=3, clock_is_stopped=True, parked_keys=1, outbox=2, outbox_seconds=0.5)
    observe_sample(overdrawn=5, charges=6, oldest_charge=7.5, refunds=8, oldest_refund=9.5)
    assert shown("connects_lag_records", topic="job-closed") == 9
    assert shown("connects_active") == 1
    assert (shown("connects_overdrawn_wallets"), shown("connects_charges_unanswered")) == (5, 6)
    assert shown("connects_oldest_charge_unanswered_seconds") == 7.5
    assert (shown("connects_refunds_owed"), shown("connects_oldest_refund_owed_seconds")) == (8, 9.5)
    observe_role(leads=False, present_epoch=None)
    assert shown("connects_lag_records", topic="job-closed") is None
    assert shown("connects_parked") == shown("connects_stopped_partitions") == shown("connects_active") == 0
    assert shown("connects_charges_unanswered") == shown("connects_oldest_charge_unanswered_seconds") == 0
    assert shown("connects_refunds_owed") == shown("connects_oldest_refund_owed_seconds") == 0
    assert shown("connects_epoch") == 4


def test_every_metric_is_declared_with_a_sentence_on_what_it_is() -> None:
    for family in REGISTRY.collect():
        assert family.name.startswith("connects_")
        assert family.documentation.endswith(".")
    assert observability.REGISTRY is REGISTRY
