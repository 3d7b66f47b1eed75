"""An obvious, slow engine: reads the topics in the order of a catch-up and writes down every decision.

It plays the ledger's part for `ReferenceModel`: it finds out which trigger comes next (the smallest of the partitions'
heads by their running maximum of occurred_at, and clock work by its due instant) and lets the model decide it.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.model import validity
from tests.model.answers import Row
from tests.model.memberships import Membership, midnight
from tests.model.model import ExpectedDecision, ReferenceModel, Work
from tests.model.rules import Owed
from tests.model.state import Change, Lot

Record = tuple[str, bytes | None, bytes | None, datetime]
"""Topic, key, value and the time it is dated: what tests/kit/histories.py makes."""

ANSWERS = ("outcome", "reason", "rule", "policy_version", "late_by_seconds", "changes", "membership", "charge")
SUBJECTS = ("freelancer_id", "job_id", "proposal_id")
TRIGGERS = (
    "seq",
    "kind",
    "follows",
    "topic",
    "incarnation",
    "partition",
    "offset",
    "event_id",
    "occurred_at",
    "payload",
)
BEGINNING = datetime.min.replace(tzinfo=UTC)
MAX_CLOCK_SKEW = timedelta(minutes=5)


@dataclass
class Partition:
    topic: str
    number: int
    records: deque[tuple[int, bytes | None, dict[str, Any] | None]] = field(default_factory=deque)
    running_max: datetime = BEGINNING


def simulate(
    events: Iterable[Record],
    policy: dict[str, Any],
    grace_seconds: float = 30,
    *,
    until: datetime | None = None,
    wall: datetime | None = None,
    partition_of: Callable[[str, bytes | None], int] = lambda _topic, _key: 0,
) -> list[Row]:
    """Every decision about these records, in ledger order, as rows with the names of the ledger's columns.

    The order of `events` within a topic is the order of its partition. `until` is the business time at which to stop,
    by default one grace after the last record; `wall` is the wall clock, by default this machine's.
    """
    return Driver(policy, grace_seconds, wall or datetime.now(UTC)).run(events, partition_of, until)


class Driver:
    def __init__(self, policy: dict[str, Any], grace_seconds: float, wall: datetime) -> None:
        self.model = ReferenceModel(policy, grace_seconds)
        self.wall = wall
        self.latest = wall + MAX_CLOCK_SKEW
        self.rows: list[Row] = []
        self.business_time: datetime | None = None

    def run(
        self,
        events: Iterable[Record],
        partition_of: Callable[[str, bytes | None], int],
        until: datetime | None,
    ) -> list[Row]:
        partitions: dict[tuple[str, int], Partition] = {}
        for topic, key, value, _ in events:
            number = partition_of(topic, key)
            partition = partitions.setdefault((topic, number), Partition(topic, number))
            partition.records.append((len(partition.records), value, validity.judge(topic, value).event))
        while waiting := [partition for partition in partitions.values() if partition.records]:
            key, partition = min(((self._key(one), one) for one in waiting), key=lambda head: head[0])
            self._work_until(min(key[0], self.wall))
            self._read(partition, key[0])
        if until or self.business_time:
            self._work_until(until or self.business_time + self.model.grace)
        return self.rows

    def _key(self, partition: Partition) -> tuple[datetime, str, int]:
        """The place of a partition's next record in the merge. A record that will be rejected moves no time."""
        _, value, event = partition.records[0]
        moves = event is not None and not self._rejects(partition.topic, event, value)
        return (max(partition.running_max, event["at"] if moves else BEGINNING), partition.topic, partition.number)

    def _rejects(self, topic: str, event: dict[str, Any], value: bytes) -> bool:
        if event["at"] < validity.EARLIEST_EVENT:
            return True
        known = self.model.seen.get((topic, event["event_id"]))
        return event["at"] > self.latest if known is None else known != validity.canonical(value)

    def _read(self, partition: Partition, key: datetime) -> None:
        offset, value, event = partition.records.popleft()
        now = self.business_time
        if event and not self._rejects(partition.topic, event, value):
            now = max(min(key, self.wall), now or BEGINNING)
        row = self._row("first", now)
        row |= {"topic": partition.topic, "partition": partition.number, "offset": offset, "incarnation": 0}
        row |= {"event_id": event and event["event_id"], "occurred_at": event and event["at"], "payload": value}
        if event and event["at"] > self.latest:
            row["outcome"], row["reason"] = "rejected", "occurred-in-the-future"
        decided = self._decide(row)
        if decided.outcome != "rejected":
            partition.running_max = max(partition.running_max, key)
            self.business_time = now
        self._follow_up(now)

    def _follow_up(self, now: datetime | None) -> None:
        while self.model.follow_ups_now:
            followed = self.rows[self.model.follow_ups_now[0] - 1]
            row = {**followed, "kind": "follow-up", "follows": followed["seq"], "business_time": now}
            row["seq"] = len(self.rows) + 1
            self._decide(row)

    def _work_until(self, horizon: datetime) -> None:
        while work := self.model.next_work(horizon):
            if isinstance(work.what, Owed):
                self._decide(self._settlement(work))
            elif isinstance(work.what, Lot):
                self._decide(self._expiry(work))
            else:
                self._start_cycle(work.what)

    def _settlement(self, work: Work) -> Row:
        closure, spend = work.what.closure, work.what.spend
        topic, incarnation, partition, offset = closure.position
        row = self._row("settlement", work.due)
        row |= {"topic": topic, "partition": partition, "offset": offset, "incarnation": incarnation}
        row |= {"event_id": closure.event_id, "occurred_at": closure.at, "proposal_id": spend.proposal_id}
        return row

    def _expiry(self, work: Work) -> Row:
        row = self._row("clock", work.due)
        row |= {"event_id": f"expiry:{work.what.lot_id}", "occurred_at": work.what.expires_at}
        return row

    def _start_cycle(self, membership: Membership) -> None:
        due, day = self.model.due_of(membership), membership.next_renewal
        row = self._row("clock", due)
        row |= {"event_id": self.model.name_of_cycle_start(membership), "occurred_at": midnight(day)}
        self._decide(row)
        while self.model.cycle_now:
            event_id, at, _ = self.model.cycle_now[0]
            self._decide(self._row("clock", due) | {"event_id": event_id, "occurred_at": at})
        self._follow_up(due)

    def _row(self, kind: str, business_time: datetime | None) -> Row:
        row: Row = dict.fromkeys((*TRIGGERS, *SUBJECTS, *ANSWERS))
        return row | {"seq": len(self.rows) + 1, "kind": kind, "business_time": business_time}

    def _decide(self, row: Row) -> ExpectedDecision:
        expected = self.model.apply(row)
        assert not expected.problems, f"the driver gave a trigger the model does not accept: {expected}"
        row |= expected.subject
        row |= {
            "outcome": expected.outcome or "recorded",
            "reason": expected.reason or "duplicate",
            "rule": expected.rule,
            "policy_version": expected.policy_version,
            "late_by_seconds": expected.late_by_seconds if row["kind"] == "first" else None,
            "changes": [as_recorded(change) for change in expected.changes],
            "membership": expected.membership and expected.membership._asdict(),
            "charge": expected.charge and dict(vars(expected.charge)),
        }
        self.rows.append(row)
        return expected


def as_recorded(change: Change) -> dict[str, Any]:
    """A change with the names of the ledger's columns."""
    names = ("freelancer_id", "version", "occurred_at", "rule", "reason", "policy_version", "delta", "debt_delta")
    return {
        **{name: getattr(change, name) for name in names},
        "balance_after": change.balance_after,
        "movements": list(change.movements),
    }
