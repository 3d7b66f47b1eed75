"""The rules once more, slowly: an independent model of the ledger, fed the ledger's own order of triggers.

Written from the rules and their readings alone, never from the worker's code. Each trigger that the ledger recorded is
put to `ReferenceModel.apply`, which says what the decision had to be and whether there should have been such a trigger
at all. It looks at the trigger only: at the recorded answer only where no one else could know it (a record that cannot
be read, a time too far ahead of a wall clock that is gone, a wallet parked after a failure).

Memberships are not modelled yet: their events are taken as given and must not move a wallet.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from tests.reference import validity
from tests.reference.books import Change, Lot
from tests.reference.rules import ANYTHING, Answer, Event, Owed, Row, Rules

MEMBERSHIPS = {
    "membership-plan-chosen",
    "promo-code-entered",
    "membership-charge-settled",
    "earnings-balance-updated",
    "account-suspended",
    "account-reinstated",
}


@dataclass
class ExpectedDecision:
    """What a trigger's decision had to be; `problems` are what is wrong with there being such a trigger."""

    row: Row
    outcome: str | None = ANYTHING
    reason: str | None = ANYTHING
    rule: str | None = ANYTHING
    policy_version: str | None = ANYTHING
    late_by_seconds: float | None = None
    event: Event | None = None
    subject: dict[str, str] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Work(NamedTuple):
    """What the clock has to do next; sorts in the order in which it is done."""

    due: datetime
    rank: int
    key: tuple[Any, ...]
    what: Any


class ReferenceModel(Rules):
    """One ledger, from its first decision on. `policy` is the policy file as it was read, `grace` in seconds."""

    def __init__(self, policy: dict[str, Any], grace_seconds: float = 30) -> None:
        super().__init__(policy, grace_seconds)
        self.named_by_a_hire: set[str] = set()
        self.seen: dict[tuple[str, str], str] = {}
        self.offsets: dict[tuple[str, int], tuple[int, int]] = {}
        self.events: dict[int, tuple[str, Event]] = {}
        self.parked: list[int] = []
        self.business_time: datetime | None = None

    # The triggers.

    def apply(self, row: Row) -> ExpectedDecision:
        expected = ExpectedDecision(row)
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
                self._expiry(row, expected)
            case "command":
                pass
            case other:
                expected.problems.append(f"there is no kind of decision called {other}")
        return expected

    def missing(self, business_time: datetime) -> list[str]:
        """Settlements and expiries due by `business_time` and not made, in words."""
        late = [
            f"the settlement of {owed.spend.proposal_id} for the closing {owed.closure.identity}, due {owed.dues[0]}"
            for waiting in self.owed.values()
            for owed in waiting.values()
            if max(owed.dues) <= business_time
        ]
        late += [
            f"the expiry of lot {lot.lot_id} ({lot.remaining} left), due {lot.expires_at + self.grace}"
            for lot in self.books.lots.values()
            if lot.remaining and lot.expires_at + self.grace <= business_time
        ]
        late += [f"the follow-up of decision {seq}" for seq in self.follow_ups_now]
        return late

    def next_work(self, horizon: datetime) -> Work | None:
        """The clock's next piece of work that is due by then: settlements before expiries, then by key."""
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
        return min(settlements + expiries, key=lambda work: work[:3], default=None)

    # An input record.

    def _first(self, row: Row, expected: ExpectedDecision) -> None:
        self._check_position(row, expected)
        topic, value = row["topic"], row["payload"]
        if row.get("outcome") == "rejected" and row.get("reason") == "unreadable-record":
            expected.outcome, expected.reason = "rejected", "unreadable-record"
            return
        verdict = validity.judge(topic, value)
        believed_bad = verdict.answer == validity.OPEN and row.get("reason") == "invalid-event"
        if verdict.event is None or believed_bad:
            expected.outcome, expected.reason = "rejected", "invalid-event"
            return
        event = expected.event = verdict.event
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
        if topic == "hire-made":
            self.named_by_a_hire.add(event["freelancer_id"])
        elif "freelancer_id" in event:
            self.books.open_wallet(event["freelancer_id"])
        if topic in MEMBERSHIPS:
            return
        self._expect(expected, self.rules[topic](event, row), event["at"])

    def _expect(self, expected: ExpectedDecision, answer: Answer, policy_of: datetime) -> None:
        expected.outcome, expected.reason, expected.rule = answer.outcome, answer.reason, answer.rule
        expected.changes = list(answer.changes)
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
        self._decide(topic, event, row, expected)

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

    def _expiry(self, row: Row, expected: ExpectedDecision) -> None:
        kind, _, lot_id = (row["event_id"] or "").partition(":")
        lot = self.books.lots.get(lot_id)
        if kind != "expiry":
            expected.problems.append(f"the clock has no work called {row['event_id']} (memberships are not modelled)")
            return
        if lot is None or not lot.remaining:
            expected.problems.append(f"lot {lot_id} is unknown or has nothing left that could expire")
            return
        if row["business_time"] != lot.expires_at + self.grace:
            expected.problems.append(f"done as of {row['business_time']}, but due at {lot.expires_at + self.grace}")
        self._check_clock(row, 1, expected)
        expected.subject = {"freelancer_id": lot.freelancer_id}
        answer = Answer("applied", "lot-expired", "expire.lot", (self.expire(lot),))
        self._expect(expected, answer, lot.issued_at)

    def _check_clock(self, row: Row, rank: int, expected: ExpectedDecision) -> None:
        """Nothing else may have been waiting that was due before, or at the same instant with a lower rank."""
        due = row["business_time"]
        first = self.next_work(due)
        if first and (max(first.what.dues) if isinstance(first.what, Owed) else first.due, first.rank) < (due, rank):
            expected.problems.append(f"{first.key} was due before, at {first.due}")
        self.clock_reached = max(self.clock_reached or due, due)

    def _next_lot_to_end(self, horizon: datetime) -> Lot | None:
        """The first lot with something left that is due by then; the used-up ones before it are forgotten."""
        while self.lots_by_end and self.lots_by_end[0][0] + self.grace <= horizon:
            lot = self.books.lots[self.lots_by_end[0][1]]
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
