"""The outcome that must be reached in the end, from the topics alone: who was granted what, refunded what, and why.

No lots, no debts, no offsets, no business time: the facts are sorted by when they happened, a closing acts one grace
after its time, and balances are plain sums. Right for events of which none is late, in whatever order the topics were
read: compare grants, settlements, refunds and balances, by natural key, not decision by decision.

Where order of arrival matters by rule, the result says so in `not_comparable`, and what it names must not be compared
with a ledger that read the topics in another order (one fed in order of event time must agree all the same):

- two facts of one natural key that differ (a purchase id with two amounts, a proposal sent twice): the first wins;
- one event id with two payloads: the first wins;
- a debit, or with overdraft declined a proposal, that was refused: it depends on what was credited before it;
- interviews that met the weekly cap;
- memberships of which two events share an instant, and those within the grace of a cycle start: their answers, not
  what comes of them, depend on when they are read (and are left out of `answers`);
- facts less than a grace from a settlement's due instant are in time or late depending on the reading (here: exactly
  at the due instant the settlement comes first).

One thing must never be compared, not even in order: balances once a lot may have expired (`lots_may_expire`), for
which lot a spend drew is not known here.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from tests.model.event_time_memberships import MEMBERSHIP_TOPICS, Life

Payload = dict[str, Any]
Outcome = tuple[str, str]
BEGINNING = datetime.min.replace(tzinfo=UTC)


class Effect(NamedTuple):
    who: str
    key: tuple[str, ...]
    amount: int


@dataclass
class Result:
    """`grants` by rule and natural key; `settlements` by job, closing time, closure and proposal.

    `charges` are the cents, the source and what became of each, by freelancer and id; `plans` the plan, the first day
    of the cycle and the first of the next one, by freelancer.

    `returned` names the lines of each proposal that came back; `answers` the outcome and reason of each event, by topic
    and event id, where these are decided immediately.
    """

    balances: Counter[str] = field(default_factory=Counter)
    grants: dict[tuple[str, ...], int] = field(default_factory=dict)
    settlements: dict[tuple[str, datetime, str, str], str] = field(default_factory=dict)
    returned: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    answers: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    charges: dict[tuple[str, str], tuple[int, str, str]] = field(default_factory=dict)
    plans: dict[str, tuple[str, date, date]] = field(default_factory=dict)
    not_comparable: list[str] = field(default_factory=list)
    lots_may_expire: bool = False


def fold(
    events: Sequence[tuple[str, Payload]],
    policy: dict[str, Any],
    grace_seconds: float = 30,
    until: datetime | None = None,
) -> Result:
    """Everything that follows from these events once the last closing is settled.

    Cycles start that are due at business time `until` at the latest: by default a grace after the last event.
    Events of one topic come in the order of that topic; between topics the order of the list means nothing.
    """
    return _Fold(policy, timedelta(seconds=grace_seconds), until).run(events)


class _Fold:
    def __init__(self, policy: dict[str, Any], grace: timedelta, until: datetime | None) -> None:
        self.until = until
        self.versions = policy["version"]
        self.grace = grace
        self.result = Result()
        self.proposals: dict[str, Payload] = {}
        self.on_job: dict[str, list[Payload]] = defaultdict(list)
        self.interviews: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
        self.facts: dict[tuple[str, str], list[Payload]] = defaultdict(list)
        self.hired_at: dict[str, list[datetime]] = defaultdict(list)
        self.said: dict[tuple[str, ...], Payload] = {}

    def run(self, events: Sequence[tuple[str, Payload]]) -> Result:
        timeline = self._without_repeats(events)
        closings = {}
        for at, topic, _, payload in timeline:
            self.facts[topic, payload.get("proposal_id", "")].append(payload)
            if topic == "hire-made":
                self.hired_at[payload["job_id"]].append(at)
            if topic == "job-closed":
                closings.setdefault((payload["job_id"], at, payload["closure"]), payload)
        instants: list[tuple[Any, ...]] = [(at, 1, topic, place, payload) for at, topic, place, payload in timeline]
        instants += [(closing[1] + self.grace, 0, *closing) for closing in sorted(closings)]
        instants += self._memberships(timeline)
        for instant in sorted(instants, key=lambda one: one[:4]):
            if isinstance(instant[4], Effect):
                self._comes_in(instant[4])
            elif instant[1] == 0:
                self._settle(*instant[2:])
            else:
                self._happens(instant[2], instant[4], instant[0])
        self._lots_may_expire(timeline)
        return self.result

    def _memberships(self, timeline: list[tuple[datetime, str, int, Payload]]) -> list[tuple[Any, ...]]:
        """Each freelancer's membership by itself, and what came in of it, with its place in time."""
        until = self.until or max((at for at, *_ in timeline), default=BEGINNING) + self.grace
        lives: dict[str, Life] = {}
        for at, topic, place, payload in timeline:
            if topic in MEMBERSHIP_TOPICS or topic == "freelancer-registered":
                who = payload["freelancer_id"]
                life = lives.setdefault(who, Life(who, self._policy, self.grace, until))
                answer = life.happens(topic, payload, at, place)
                if answer:
                    self.result.answers[topic, payload["event_id"]] = answer
        for who, life in lives.items():
            life.ends()
            self.result.charges |= {(who, name): tuple(charge[:3]) for name, charge in life.charges.items()}
            if life.plan:
                self.result.plans[who] = (life.plan, life.first_day, life.next_day)
        return [
            (*place, Effect(who, key, amount)) for who, life in lives.items() for place, key, amount in life.effects
        ]

    def _comes_in(self, effect: "Effect") -> None:
        self.result.grants[effect.key] = effect.amount
        self.result.balances[effect.who] += effect.amount

    def _without_repeats(self, events: Sequence[tuple[str, Payload]]) -> list[tuple[datetime, str, int, Payload]]:
        first: dict[tuple[str, str], Payload] = {}
        timeline = []
        for place, (topic, payload) in enumerate(events):
            before = first.setdefault((topic, payload["event_id"]), payload)
            if before is payload:
                timeline.append((_at(payload), topic, place, payload))
            elif before != payload:
                self.result.not_comparable.append(f"{topic} {payload['event_id']} has two payloads")
        return sorted(timeline, key=lambda one: one[:3])

    def _lots_may_expire(self, timeline: list[tuple[datetime, str, int, Payload]]) -> None:
        credited = [at for at, _, _, _ in timeline]
        if credited and max(*credited, self.until or BEGINNING) + 2 * self.grace >= _a_year_later(min(credited)):
            self.result.lots_may_expire = True
            self.result.not_comparable.append("balances: a lot may have expired")

    def _happens(self, topic: str, payload: Payload, at: datetime) -> None:
        happenings: dict[str, Callable[[Payload, datetime], Outcome]] = {
            "freelancer-registered": self._registered,
            "badge-earned": self._badge,
            "certification-completed": self._certified,
            "interview-won": self._interview,
            "connects-purchased": self._purchased,
            "connects-adjusted": self._adjusted,
            "proposal-submitted": self._proposed,
            "boost-outbid": self._outbid,
            "proposal-withdrawn": self._withdrawn,
        }
        if topic in happenings:
            self.result.answers[topic, payload["event_id"]] = happenings[topic](payload, at)

    # Credits and debits.

    def _registered(self, payload: Payload, at: datetime) -> Outcome:
        amount = self._policy(at)["grants"]["registration"]
        return self._once("grant.registration", [payload["freelancer_id"]], payload, amount, "registered")

    def _badge(self, payload: Payload, at: datetime) -> Outcome:
        amount = self._policy(at)["grants"]["badges"].get(payload["badge"], 0)
        if not amount:
            return ("declined", "no-award-for-badge")
        key = [payload["freelancer_id"], payload["badge"]]
        return self._once("grant.badge", key, payload, amount, "badge-earned")

    def _certified(self, payload: Payload, at: datetime) -> Outcome:
        if payload["kind"] == "learning-path":
            return ("declined", "not-a-skill-certification")
        key = [payload["freelancer_id"], payload["certification_id"]]
        return self._once("grant.certification", key, payload, self._policy(at)["grants"]["certification"], "certified")

    def _interview(self, payload: Payload, at: datetime) -> Outcome:
        grants = self._policy(at)["grants"]
        if payload["origin"] == "invite":
            return ("declined", "interview-from-invitation")
        reached = [tier for tier in grants["interview_tiers"] if tier["from_cents"] <= payload["client_spent_cents"]]
        if payload["client_hires"] == 0 or not reached:
            return ("declined", "client-not-established")
        worth = max(reached, key=lambda tier: tier["from_cents"])["connects"]
        key = [payload["freelancer_id"], payload["job_id"]]
        week = timedelta(days=grants["interview_cap_days"])
        had = self.interviews[payload["freelancer_id"]]
        room = grants["interview_cap"] - sum(amount for when, amount in had if when > at - week)
        if ("grant.interview", *key) in self.result.grants:
            return self._once("grant.interview", key, payload, worth, "interview-won")
        if worth > room:
            self.result.not_comparable.append(f"interviews of {payload['freelancer_id']}: the cap was met")
        if room <= 0:
            return ("declined", "weekly-cap")
        had.append((at, min(worth, room)))
        return self._once("grant.interview", key, payload, min(worth, room), "interview-won")

    def _purchased(self, payload: Payload, at: datetime) -> Outcome:
        del at
        return self._once("grant.purchase", [payload["purchase_id"]], payload, payload["connects"], "purchased")

    def _adjusted(self, payload: Payload, at: datetime) -> Outcome:
        del at
        key, amount = [payload["adjustment_id"]], payload["connects"]
        held = max(0, self.result.balances[payload["freelancer_id"]])
        if ("adjust", *key) not in self.result.grants and amount < -held:
            self.result.not_comparable.append(f"adjustment {key[0]}: it was more than there was")
            return ("declined", "insufficient-balance")
        return self._once("adjust", key, payload, amount, "adjusted")

    def _once(self, rule: str, key: list[str], payload: Payload, amount: int, reason: str) -> Outcome:
        natural = (rule, *key)
        self._the_same_every_time(natural, payload)
        if natural in self.result.grants:
            return ("declined", "already-granted")
        if amount == 0:
            return ("declined", "nothing-to-do")
        self.result.grants[natural] = amount
        self.result.balances[payload["freelancer_id"]] += amount
        return ("applied", reason)

    def _the_same_every_time(self, natural: tuple[str, ...], payload: Payload) -> None:
        before = self.said.setdefault(natural, payload)
        if _content(before) != _content(payload):
            self.result.not_comparable.append(f"{natural}: {_content(before)} and {_content(payload)}")

    # Proposals.

    def _proposed(self, payload: Payload, at: datetime) -> Outcome:
        proposal_id = payload["proposal_id"]
        self._the_same_every_time(("spend.proposal", proposal_id), payload)
        if proposal_id in self.proposals:
            if self.proposals[proposal_id]["occurred_at"] != payload["occurred_at"]:
                self.result.not_comparable.append(f"proposal {proposal_id}: sent twice with different dates")
            return ("declined", "already-spent")
        cost = _base(payload) + _boost(payload)
        held = max(0, self.result.balances[payload["freelancer_id"]])
        if self._policy(at)["spends"]["overdraft"] == "decline" and cost > held:
            self.result.not_comparable.append(f"proposal {proposal_id}: it cost more than there was")
            return ("declined", "insufficient-balance")
        self.proposals[proposal_id] = payload
        self.on_job[payload["job_id"]].append(payload)
        self.result.balances[payload["freelancer_id"]] -= cost
        for outbid in self.facts["boost-outbid", proposal_id]:
            if _at(outbid) <= at:
                self._take_back_boost(outbid)
        if cost == 0:
            return ("recorded", "free-from-invitation" if payload["origin"] == "invite" else "cost-nothing")
        return ("applied", "proposal-submitted")

    def _outbid(self, payload: Payload, at: datetime) -> Outcome:
        del at
        return self._take_back_boost(payload) or ("recorded", "unknown-proposal")

    def _take_back_boost(self, outbid: Payload) -> Outcome | None:
        proposal = self.proposals.get(outbid["proposal_id"])
        if proposal is None:
            return None
        if not _same(outbid, proposal):
            return ("recorded", "proposal-mismatch")
        if _boost(proposal) == 0:
            return ("declined", "no-boost")
        if not self._bring_back(proposal, "boost"):
            return ("declined", "already-refunded")
        return ("applied", "boost-outbid")

    def _withdrawn(self, payload: Payload, at: datetime) -> Outcome:
        del at
        proposal = self.proposals.get(payload["proposal_id"])
        if proposal and not _same(payload, proposal):
            return ("recorded", "proposal-mismatch")
        return ("recorded", "withdrawal-is-not-refunded")

    def _bring_back(self, proposal: Payload, line: str) -> int:
        amount = _boost(proposal) if line == "boost" else _base(proposal)
        back = self.result.returned[proposal["proposal_id"]]
        if line in back or not amount:
            return 0
        back.add(line)
        self.result.balances[proposal["freelancer_id"]] += amount
        return amount

    # Closings.

    def _settle(self, job_id: str, closed_at: datetime, closure: str) -> None:
        for proposal in self.on_job[job_id]:
            if _at(proposal) <= closed_at:
                reason = self._verdict(proposal, closed_at, closure)
                self.result.settlements[job_id, closed_at, closure, proposal["proposal_id"]] = reason

    def _verdict(self, proposal: Payload, closed_at: datetime, closure: str) -> str:
        lines = [line for line, cost in (("base", _base(proposal)), ("boost", _boost(proposal))) if cost]
        withdrawals = [one for one in self.facts["proposal-withdrawn", proposal["proposal_id"]] if _same(one, proposal)]
        table = [
            (not lines and proposal["origin"] == "invite", "free-from-invitation"),
            (not lines, "cost-nothing"),
            (self.result.returned[proposal["proposal_id"]].issuperset(lines), "already-refunded"),
            (any(_at(one) < closed_at for one in withdrawals), "proposal-withdrawn"),
            (closure == "expired", "job-expired"),
            (any(hired_at <= closed_at for hired_at in self.hired_at[proposal["job_id"]]), "somebody-was-hired"),
        ]
        for matches, reason in table:
            if matches:
                return reason
        for line in lines:
            self._bring_back(proposal, line)
        return "closed-without-hire" if closure == "closed-by-client" else "removed-by-marketplace"

    def _policy(self, at: datetime) -> dict[str, Any]:
        begun = [version for version in self.versions if version["effective_from"] <= at]
        oldest = min(self.versions, key=lambda version: version["effective_from"])
        return max(begun, key=lambda version: version["effective_from"], default=oldest)


def _at(payload: Payload) -> datetime:
    return datetime.fromisoformat(payload["occurred_at"]).astimezone(UTC)


def _base(proposal: Payload) -> int:
    return 0 if proposal["origin"] == "invite" else proposal["connects"]


def _boost(proposal: Payload) -> int:
    return 0 if proposal["origin"] == "invite" else proposal.get("boost_connects", 0)


def _same(one: Payload, other: Payload) -> bool:
    return all(one[name] == other[name] for name in ("proposal_id", "freelancer_id", "job_id"))


def _content(payload: Payload) -> Payload:
    return {name: item for name, item in payload.items() if name not in {"event_id", "occurred_at"}}


def _a_year_later(at: datetime) -> datetime:
    return at + timedelta(days=365)
