"""What waits, as the statements that join it with its decision give it."""

import asyncpg

from schemas.reading import read_event
from worker.domain.model import Cause, stored_cause
from worker.domain.state import Awaited, Held
from worker.kafka.holds import Hold
from worker.kafka.records import TopicPartition
from worker.ledger.parked import ParkedTrigger


def read_awaited(row: asyncpg.Record) -> Awaited:
    """A withdrawal or outbid that waits for its proposal."""
    return Awaited(
        row["proposal_id"],
        row["decision_seq"],
        row["topic"] == "boost-outbid",
        row["freelancer_id"],
        row["job_id"],
        row["occurred_at"],
        _cause(row, row["decision_seq"]),
    )


def read_held(row: asyncpg.Record) -> Held:
    """A held event, read again from the payload that was kept with it."""
    event = read_event(row["topic"], row["payload"])
    return Held(row["freelancer_id"], row["decision_seq"], row["topic"], event, _cause(row, row["decision_seq"]))


def read_parked_trigger(row: asyncpg.Record) -> ParkedTrigger:
    """A trigger that waits behind a stopped wallet or job."""
    return ParkedTrigger(
        row["seq"],
        row["kind"],
        _cause(row, None),
        row["occurred_at"],
        row["business_time"],
        row["payload"],
        row["proposal_id"],
        row["closure_job"],
        row["closure_seq"],
    )


def read_hold(row: asyncpg.Record) -> Hold:
    """What is on hold, with the words of the command's decision."""
    place = TopicPartition(row["topic"], row["partition"])
    return Hold(place, row["lets_time_go_on"], row["actor"], row["why"], row["since"])


def _cause(row: asyncpg.Record, decided_by: int | None) -> Cause:
    return stored_cause(row["topic"], row["incarnation"], row["partition"], row["offset"], row["event_id"], decided_by)
