"""The rules once more, slowly: an independent model of the ledger, fed the ledger's own order of triggers.

Written from the rules and their readings alone, never from the worker's code. Each trigger that the ledger recorded is
put to `ReferenceModel.apply`, which says what the decision had to be and whether there should have been such a trigger
at all. It reads the trigger only; it reads the recorded answer only where nothing else shows it (a record that cannot
be read, a time too far ahead of a wall clock that is gone, a wallet parked after a failure).
"""

from bisect import insort
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from tests.model import validity
from tests.model.answers import ANYTHING, Answer, Charge, Event, MembershipUpdate, Row
from tests.model.memberships import CycleDecision, Membership, midnight
from tests.model.rules import Owed, Rules
from tests.model.state import Change, Lot


@dataclass
class ExpectedDecision:
    """The expected decision of a trigger; `problems` say why there should not be such a trigger."""

    row: Row
    outcome: str | None = ANYTHING
    reason: str | None = ANYTHING
    rule: str | None = ANYTHING
    policy_version: str | None = ANYTHING
    late_by_seconds: float | None = None
    event: Event | None = None
    subject: dict[str, str] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    membership: MembershipUpdate | None = None
    charge: Charge | None = None
    problems: list[str] = field(default_factory=list)


class Work(NamedTuple):
    """Work of the schedule; it sorts in the order in which it is done."""

    due: datetime
    rank: int
    key: tuple[Any, ...]
    what: Any


class ReferenceModel(Rules):
    """One ledger, from its first decision on. `policy` is the policy file as it was read, `grace` in seconds."""

    def __init__(self, policy: dict[str, Any], grace_seconds: float = 30) -> None:
        super().__init__(policy, grace_seconds)
        self.seen: dict[tuple[str, str], str] = {}
        self.offsets: dict[tuple[str, int], tuple[int, int]] = {}
        self.events: dict[int, tuple[str, Event]] = {}
        self.parked: list[int] = []
        self.business_time: datetime | None = None
        self.cycles_by_day: list[tuple[date, str]] = []
        self.cycle_now: list[CycleDecision] = []
        self.decided_at: datetime | None = None

    # The triggers.

    def apply(self, row: Row) -> ExpectedDecision:
        expected = ExpectedDecision(row)
        if self.cycle_now and (row["kind"] != "clock" or row["event_id"] != self.cycle_now[0].event_id):
            expected.problems.append(f"{self.cycle_now[0].event_id} should have been decided right here")
            self.cycle_now.clear()
        if self.follow_ups_now and (row["kind"] != "follow-up" or row["follows"] != self.follow_ups_now[0]):
            expected.problems.append(f"decision {self.follow_ups_now[0]} should have been followed up right here")
            self.follow_ups_now.clear()
        match row["kind"]:
            case "first":
                self._first(row, expected)
            case "follow-up":
                self._follow_up(row, expected)
            case "settlement":
                self._settlement(row, expected)
            case "clock":
                self._clock(row, expected)
            case "command":
                pass
            case other:
                expected.problems.append(f"there is no kind of decision called {other}")
        return expected

    def missing(self, business_time: datetime) -> list[str]:
        """Settlements, expiries and cycle starts due by `business_time` and not made, in words."""
        late = [
            f"the settlement of {owed.spend.proposal_id} for the closing {owed.closure.identity}, due {owed.dues[0]}"
            for waiting in self.owed.values()
            for owed in waiting.values()
            if max(owed.dues) <= business_time
        ]
        late += [
            f"the expiry of lot {lot.lot_id} ({lot.remaining} left), due {lot.expires_at + self.grace}"
            for lot in self.state.lots.values()
            if lot.remaining and lot.expires_at + self.grace <= business_time
        ]
        late += [
            f"the cycle start of {membership.freelancer_id} on {membership.next_renewal}"
            for membership in self.memberships.values()
            if membership.has_begun and self.due_of(membership) <= business_time
        ]
        late += [decision.event_id for decision in self.cycle_now]
        late += [f"the follow-up of decision {seq}" for seq in self.follow_ups_now]
        return late

    def next_work(self, horizon: datetime) -> Work | None:
        """The clock's next piece of work that is due by then: settlements, expiries, cycle starts, then by key."""
        settlements = [
            Work(owed.dues[0], 0, _key(owed), owed)
            for waiting in self.owed.values()
            for owed in _candidates(waiting)
            if owed.dues[0] <= horizon
        ]
        expiries = []
        lot = self._next_lot_to_end(horizon)
        if lot:
            expiries.append(Work(lot.expires_at + self.grace, 1, (lot.lot_id,), lot))
        cycle_starts = []
        membership = self._next_cycle(horizon)
        if membership:
            cycle_starts.append(Work(self.due_of(membership), 2, (membership.freelancer_id,), membership))
        return min(settlements + expiries + cycle_starts, key=lambda work: work[:3], default=None)

    # An input record.

    def _first(self, row: Row, expected: ExpectedDecision) -> None:
        self._check_position(row, expected)
        topic, value = row["topic"], row["payload"]
        if row.get("outcome") == "rejected" and row.get("reason") in {"unreadable-record", "batch-too-large"}:
            expected.outcome, expected.reason = "rejected", row["reason"]
            return
        verdict = validity.judge(topic, value)
        believed_bad = verdict.answer == validity.OPEN and row.get("reason") == "invalid-event"
        if verdict.event is None or believed_bad:
            expected.outcome, expected.reason = "rejected", "invalid-event"
            return
        event = expected.event = verdict.event
        if event["at"] < validity.EARLIEST_EVENT:
            expected.outcome, expected.reason = "rejected", "occurred-too-long-ago"
            return
        known = self.seen.get((topic, event["event_id"]))
        canonical = validity.canonical(value)
        if known is not None:
            repeated = known == canonical
            expected.outcome = "duplicate" if repeated else "rejected"
            expected.reason = ANYTHING if repeated else "event-id-conflict"
            if repeated:
                self._check_business_time(row, expected)
            return
        if row.get("outcome") == "rejected" and row.get("reason") == "occurred-in-the-future":
            expected.outcome, expected.reason = "rejected", "occurred-in-the-future"
            if row["business_time"] and event["at"] <= row["business_time"]:
                expected.problems.append(
                    f"{event['at']} is not ahead of business time, so not of the wall clock either"
                )
            return
        self._check_business_time(row, expected)
        self.seen[topic, event["event_id"]] = canonical
        self.events[row["seq"]] = (topic, event)
        expected.subject = _subject(event)
        if row["business_time"] and row["business_time"] > event["at"] + self.grace:
            expected.late_by_seconds = (row["business_time"] - event["at"]).total_seconds()
        if row.get("outcome") == "parked":
            expected.outcome = "parked"
            self.parked.append(row["seq"])
            return
        self._decide(topic, event, row, expected)

    def _decide(self, topic: str, event: Event, row: Row, expected: ExpectedDecision) -> None:
        if "freelancer_id" in event and topic != "hire-made":
            self.state.open_wallet(event["freelancer_id"])
        self.events[row["seq"]] = (topic, event)
        self._expect(expected, self.rules[topic](event, row), event["at"])
        self.decided_at = row["business_time"]
        if topic in self.membership_rules or topic == "freelancer-registered":
            self._look_at(event["freelancer_id"])

    def _look_at(self, freelancer_id: str) -> None:
        """After a membership may have moved: what was held and can count now, and when its next cycle starts."""
        ready = self.held_and_ready(freelancer_id, self.events.__getitem__)
        self.follow_ups_now += ready[:1]
        membership = self.membership_of(freelancer_id)
        if membership.has_begun:
            insort(self.cycles_by_day, (membership.next_renewal, freelancer_id))

    def _expect(self, expected: ExpectedDecision, answer: Answer, policy_of: datetime) -> None:
        expected.outcome, expected.reason, expected.rule = answer.outcome, answer.reason, answer.rule
        expected.changes = list(answer.changes)
        expected.membership, expected.charge = answer.membership, answer.charge
        expected.policy_version = self.policy_at(policy_of)["version"]

    def _check_position(self, row: Row, expected: ExpectedDecision) -> None:
        place, position = (row["topic"], row["partition"]), (row["incarnation"], row["offset"])
        if place in self.offsets and position <= self.offsets[place]:
            expected.problems.append(f"decided after {place} had been decided up to {self.offsets[place]}")
        self.offsets[place] = position

    def _check_business_time(self, row: Row, expected: ExpectedDecision) -> None:
        now = row["business_time"]
        if now is None:
            return
        if self.business_time and now < self.business_time:
            expected.problems.append(f"business time went back from {self.business_time} to {now}")
        if self.clock_reached and now < self.clock_reached:
            expected.problems.append(f"work due at {self.clock_reached} was done before its time: it is only {now}")
        self.business_time = now

    # An event that counts later than it was read.

    def _follow_up(self, row: Row, expected: ExpectedDecision) -> None:
        followed = row["follows"]
        if followed in self.parked:
            self.parked.remove(followed)
        elif self.follow_ups_now and self.follow_ups_now[0] == followed:
            self.follow_ups_now.pop(0)
        else:
            expected.problems.append(f"nothing was owed to decision {followed}")
            return
        topic, event = self.events[followed]
        expected.event, expected.subject = event, _subject(event)
        if topic in self.membership_rules and any(held[1] == followed for held in self._held_of(event)):
            self.let_go(event["freelancer_id"], followed)
            if row["business_time"] != self.decided_at:
                expected.problems.append(f"followed up as of {row['business_time']}, not {self.decided_at}")
        self._decide(topic, event, row, expected)

    def _held_of(self, event: Event) -> list[tuple[datetime, int]]:
        return self.membership_of(event["freelancer_id"]).held

    # A settlement.

    def _settlement(self, row: Row, expected: ExpectedDecision) -> None:
        closure = self.closure_at.get((row["topic"], row["incarnation"], row["partition"], row["offset"]))
        waiting = self.owed.get(closure.identity, {}) if closure else {}
        owed = waiting.get(row["proposal_id"])
        if closure is None or owed is None:
            expected.problems.append("no settlement of this proposal was owed to this job-closed record")
            return
        self._check_settlement(row, owed, expected)
        del waiting[row["proposal_id"]]
        if not waiting:
            del self.owed[closure.identity]
        spend = owed.spend
        expected.subject = {
            "freelancer_id": spend.freelancer_id,
            "job_id": spend.job_id,
            "proposal_id": spend.proposal_id,
        }
        instant = row["business_time"] if row["business_time"] in owed.dues else owed.dues[0]
        self._expect(expected, self.settle(closure, spend, instant), closure.at)

    def _check_settlement(self, row: Row, owed: Owed, expected: ExpectedDecision) -> None:
        if row["business_time"] not in owed.dues:
            expected.problems.append(f"settled as of {row['business_time']}, but was due at {owed.dues}")
        if row["event_id"] != owed.closure.event_id:
            expected.problems.append(f"names {row['event_id']}, but the job-closed was {owed.closure.event_id}")
        first = next(iter(self.owed[owed.closure.identity].values()))
        if not owed.late and first is not owed:
            expected.problems.append(f"proposal {first.spend.proposal_id} was read before, and comes first")
        self._check_clock(row, 0, expected)

    # The clock.

    def _clock(self, row: Row, expected: ExpectedDecision) -> None:
        kind, _, about = (row["event_id"] or "").partition(":")
        if kind == "expiry":
            self._expiry(row, about, expected)
        elif kind in {"cycle", "renewal"}:
            self._cycle_start(row, about, expected)
        else:
            expected.problems.append(f"the clock has no work called {row['event_id']}")

    def _expiry(self, row: Row, lot_id: str, expected: ExpectedDecision) -> None:
        lot = self.state.lots.get(lot_id)
        if lot is None or not lot.remaining:
            expected.problems.append(f"lot {lot_id} is unknown or has nothing left that could expire")
            return
        if row["business_time"] != lot.expires_at + self.grace:
            expected.problems.append(f"done as of {row['business_time']}, but due at {lot.expires_at + self.grace}")
        self._check_clock(row, 1, expected)
        expected.subject = {"freelancer_id": lot.freelancer_id}
        answer = Answer("applied", "lot-expired", "expire.lot", (self.expire(lot),))
        self._expect(expected, answer, lot.issued_at)

    def _cycle_start(self, row: Row, about: str, expected: ExpectedDecision) -> None:
        """The decisions of one cycle start follow each other; all of them are known when the first is made."""
        freelancer_id = about.rpartition(":")[0]
        if not self.cycle_now:
            membership = self.membership_of(freelancer_id)
            if not membership.has_begun:
                expected.problems.append(f"the membership of {freelancer_id!r} has not begun")
                return
            self._check_clock(row, 2, expected, (freelancer_id,))
            self.decided_at = self.due_of(membership)
            self.cycle_now = self.cycle_starts(membership, row)
        event_id, at, answer = self.cycle_now.pop(0)
        if (row["event_id"], row["occurred_at"]) != (event_id, at):
            expected.problems.append(f"dated {row['occurred_at']}, but should be {event_id}, dated {at}")
        if row["business_time"] != self.decided_at:
            expected.problems.append(f"done as of {row['business_time']}, but due at {self.decided_at}")
        expected.subject = {"freelancer_id": freelancer_id}
        self._expect(expected, answer, at)
        if not self.cycle_now:
            self._look_at(freelancer_id)

    def due_of(self, membership: Membership) -> datetime:
        """When the clock starts the membership's next cycle."""
        return midnight(membership.next_renewal) + self.grace

    def _check_clock(self, row: Row, rank: int, expected: ExpectedDecision, key: tuple[str, ...] | None = None) -> None:
        """Nothing else may have been waiting that was due before, or then with a lower rank (or key)."""
        due = row["business_time"]
        first = self.next_work(due)
        if first and (max(first.what.dues) if isinstance(first.what, Owed) else first.due, first.rank) < (due, rank):
            expected.problems.append(f"{first.key} was due before, at {first.due}")
        elif first and key and first[:3] < (due, rank, key):
            expected.problems.append(f"{first.key} comes first of what was due at {due}")
        self.clock_reached = max(self.clock_reached or due, due)

    def _next_cycle(self, horizon: datetime) -> Membership | None:
        """The membership whose cycle starts next, if that is due by then; days that were given up are forgotten."""
        while self.cycles_by_day and midnight(self.cycles_by_day[0][0]) + self.grace <= horizon:
            day, freelancer_id = self.cycles_by_day[0]
            membership = self.memberships[freelancer_id]
            if membership.next_renewal == day:
                return membership
            self.cycles_by_day.pop(0)
        return None

    def _next_lot_to_end(self, horizon: datetime) -> Lot | None:
        """The first lot with something left that is due by then; the used-up ones before it are forgotten."""
        while self.lots_by_end and self.lots_by_end[0][0] + self.grace <= horizon:
            lot = self.state.lots[self.lots_by_end[0][1]]
            if lot.remaining:
                return lot
            self.lots_by_end.pop(0)
        return None


def _subject(event: Event) -> dict[str, str]:
    return {name: event[name] for name in ("freelancer_id", "job_id", "proposal_id") if event.get(name)}


def _candidates(waiting: dict[str, Owed]) -> list[Owed]:
    """Of what one closure has still to decide, what might be next: in ledger order, but late spends one by one."""
    first = next(iter(waiting.values()))
    return list(waiting.values()) if first.late else [first]


def _key(owed: Owed) -> tuple[Any, ...]:
    return (*owed.closure.identity, 0 if owed.late else owed.spend.seq, owed.spend.proposal_id)
