"""One freelancer's membership, from what happened and when: no decisions, no holding back, no clock.

Events come in order of time. Before each of them the cycles that start by then have started; an answer to a charge
that is still to be asked for counts when it is. What is granted is written down in `effects`, with its place in time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

Payload = dict[str, Any]
Outcome = tuple[str, str]
Place = tuple[datetime, float, str, float]
"""When something is booked, and what comes first at one instant: see `event_time._Fold.run`."""

Policy = Callable[[datetime], dict[str, Any]]


@dataclass
class Life:
    """`until`: cycles start that begin a grace before it. `charges` are (cents, source, what became of it), by id."""

    who: str
    policy: Policy
    grace: timedelta
    until: datetime
    plan: str | None = None
    first_day: date = date.min
    next_day: date = date.max
    leaving: bool = False
    open_charge: str | None = None
    charges: dict[str, list[Any]] = field(default_factory=dict)
    effects: list[tuple[Place, tuple[str, ...], int]] = field(default_factory=list)
    codes: dict[str, dict[str, Any]] = field(default_factory=dict)
    facts: list[tuple[datetime, str, bool]] = field(default_factory=list)
    earned: int | None = None
    early: list[Payload] = field(default_factory=list)
    place: Place = (datetime.min.replace(tzinfo=UTC), 0, "", 0)
    stopped: bool = False

    def happens(self, topic: str, payload: Payload, at: datetime, place: float) -> Outcome | None:
        """The answer, or None where it depends on when exactly the event is read."""
        self._catch_up(at)
        if self.stopped:
            return None
        waits = self.place[0] > at
        if not waits:
            self.place = (at, 1, topic, place)
        if topic == "freelancer-registered":
            self._begins(at)
            return None
        answer: Outcome = getattr(self, f"_{topic.replace('-', '_')}")(payload, at)
        return None if waits else answer

    def ends(self) -> None:
        self._catch_up(self.until)

    # The calendar.

    def _catch_up(self, at: datetime) -> None:
        """Start the cycles that have begun by then: booked a grace later, and so is what happens within that."""
        while self.plan and not self.stopped and _start(self.next_day) <= at:
            booked = _start(self.next_day) + self.grace
            self.stopped = booked > self.until
            if not self.stopped:
                self.place = max(self.place, (booked, 0.5, self.who, 0))
                self._turns(self.next_day)

    def _enter(self, day: date, policy_of: datetime) -> None:
        self.first_day, self.next_day = day, self._next(day, policy_of)

    def _next(self, day: date, policy_of: datetime) -> date:
        late_days = day.day > 28
        after = late_days and self.policy(policy_of)["memberships"]["late_cycle_start"] == "after-anniversary"
        month = day.year * 12 + day.month - 1 + (2 if after else 1)
        return date(month // 12, month % 12 + 1, 1 if late_days else day.day)

    def _begins(self, at: datetime) -> bool:
        if self.plan:
            return False
        self.plan = "basic"
        self._enter(at.date(), at)
        return True

    def _turns(self, day: date) -> None:
        start = _start(day)
        renews = self.plan == "plus" and not self.open_charge and not self.leaving and not self._suspended(start)
        if self.plan == "plus" and self.open_charge:
            unanswered, self.open_charge = self.charges[self.open_charge], None
            unanswered[2] = "lapsed"
            self._basic_grant(unanswered[3])
        if self.plan == "plus" and not renews:
            self.plan, self.leaving = "basic", False
        if self.plan == "basic":
            self._basic_grant(day)
        self._enter(day, start)
        if renews:
            self._charge(day.isoformat(), day, start)

    def _suspended(self, by: datetime) -> set[str]:
        shown = [fact for fact in sorted(self.facts, key=lambda fact: fact[0]) if fact[0] < by]
        latest = {scope: suspended for _, scope, suspended in shown}
        return {scope for scope, suspended in latest.items() if suspended}

    # What comes in.

    def _grant(self, key: tuple[str, ...], amount: int) -> None:
        at, rank, about, number = self.place
        self.place = (at, rank, about, number + 0.001)
        if amount:
            self.effects.append((self.place, key, amount))

    def _basic_grant(self, day: date) -> None:
        if "account" not in self._suspended(_start(day)):
            amount = self.policy(_start(day))["grants"]["monthly"]["basic"]
            self._grant(("grant.monthly", self.who, day.isoformat()), amount)

    def _plus_grant(self, charge_id: str, policy_of: datetime) -> None:
        monthly = self.policy(policy_of)["grants"]["monthly"]
        self._grant(("grant.monthly", self.who, charge_id), monthly["plus_paid"] + monthly["plus_free"])

    # What is asked for, and what becomes of it.

    def _charge(self, name: str, day: date, at: datetime, *, with_code: bool = False) -> int:
        """Ask for the price, or do without an answer if it is 0; returns the price."""
        memberships = self.policy(at)["memberships"]
        price, code = memberships["plus_price_cents"], next(self._usable(), None)
        if code:
            terms = self.codes[code]
            terms["left"] -= 1
            price = max(0, price - price * terms.get("percent_off", 0) // 100 - terms.get("cents_off", 0))
        source = "payment-method" if self.earned is None or self.earned < price else "earnings-balance"
        charge_id, charge = f"{self.who}:{name}:1", [price, source, "asked" if price else "paid", day, code, with_code]
        if price:
            self._ask(charge_id, charge)
        else:
            self.charges[charge_id] = charge
            self._paid(charge_id, at)
        return int(price)

    def _usable(self) -> Iterator[str]:
        return (code for code in reversed(self.codes) if self.codes[code]["left"])

    def _ask(self, charge_id: str, charge: list[Any]) -> None:
        self.charges[charge_id] = charge
        self.open_charge = charge_id
        for payload in [one for one in self.early if one["charge_id"] == charge_id]:
            self.early.remove(payload)
            self._membership_charge_settled(payload, _at(payload))

    def _membership_charge_settled(self, payload: Payload, at: datetime) -> Outcome:
        charge_id, outcome = payload["charge_id"], payload["outcome"]
        if charge_id not in self.charges:
            self.early.append(payload)
            return ("recorded", "unknown-charge")
        charge = self.charges[charge_id]
        before, after_lapse = charge[2], charge[2] == "lapsed" and outcome == "paid"
        if before != "asked" and not after_lapse:
            return ("declined", "charge-already-settled")
        charge[2] = outcome
        if after_lapse:
            self._plus_grant(charge_id, at)
            return ("applied", "paid-after-lapse")
        self.open_charge = None
        return ("applied", (self._paid if outcome == "paid" else self._failed)(charge_id, at))

    def _paid(self, charge_id: str, at: datetime) -> str:
        day = self.charges[charge_id][3]
        if self.plan == "plus":
            self._plus_grant(charge_id, _start(day))
            return "renewed"
        self._upgraded(charge_id, day, at)
        return "upgraded"

    def _failed(self, charge_id: str, at: datetime) -> str:
        del at
        cents, source, _, day, *of_code = self.charges[charge_id]
        if source == "earnings-balance":
            self._ask(charge_id.removesuffix("1") + "2", [cents, "payment-method", "asked", day, *of_code])
            return "charge-retried"
        self._comes_to_nothing(*of_code, day)
        return "charge-failed"

    def _comes_to_nothing(self, code: str | None, with_code: bool, day: date) -> None:  # noqa: FBT001
        if code and with_code:
            del self.codes[code]
        elif code:
            self.codes[code]["left"] += 1
        self.leaving = False
        if self.plan == "plus":
            self.plan = "basic"
            self._basic_grant(day)

    def _upgraded(self, charge_id: str, chosen: date, at: datetime) -> None:
        is_over = chosen < self.first_day or self._next(chosen, at) <= at.date()
        day = max(self.first_day, at.date()) if is_over else chosen
        monthly = self.policy(at)["grants"]["monthly"]
        share = monthly["plus_free"] * (day - self.first_day).days // (self.next_day - self.first_day).days
        self.plan = "plus"
        self._enter(day, at)
        self._grant(("grant.upgrade", self.who, charge_id), monthly["plus_paid"] + share)

    # What the member, and others, do.

    def _membership_plan_chosen(self, payload: Payload, at: datetime) -> Outcome:
        began = self._begins(at)
        plus_ahead = self.plan == "plus" or self.open_charge is not None
        if payload["plan"] == "plus":
            return self._plus_chosen(payload, at, plus_ahead)
        if plus_ahead and not self.leaving:
            self.leaving = True
            return ("applied", "downgrade-scheduled")
        return ("applied", "membership-began") if began else ("declined", "already-on-plan")

    def _plus_chosen(self, payload: Payload, at: datetime, plus_ahead: bool) -> Outcome:  # noqa: FBT001
        code = payload.get("promo_code")
        if self._suspended(at + timedelta(microseconds=1)):
            return ("declined", "account-suspended")
        if plus_ahead and not self.leaving:
            return ("declined", "already-on-plan")
        refused = self._enters(code, at) if code else None
        if refused:
            return ("declined", refused)
        if plus_ahead:
            self.leaving = False
            return ("applied", "downgrade-cancelled")
        price = self._charge(payload["event_id"], at.date(), at, with_code=code is not None)
        return ("applied", "charge-requested" if price else "upgraded")

    def _promo_code_entered(self, payload: Payload, at: datetime) -> Outcome:
        refused = self._enters(payload["promo_code"], at)
        return ("declined", refused) if refused else ("applied", "promo-accepted")

    def _enters(self, code: str, at: datetime) -> str | None:
        offered = self.policy(at)["memberships"].get("promo_codes", {})
        if code not in offered:
            return "promo-code-unknown"
        if code in self.codes:
            return "promo-code-already-used"
        if not offered[code]["valid_from"] <= at < offered[code]["valid_until"]:
            return "promo-code-expired"
        self.codes[code] = {**offered[code], "left": offered[code]["charges"]}
        return None

    def _earnings_balance_updated(self, payload: Payload, at: datetime) -> Outcome:
        del at
        self.earned = payload["available_cents"]
        return ("recorded", "earnings-noted")

    def _account_suspended(self, payload: Payload, at: datetime) -> Outcome:
        return self._scope(payload["scope"], at, suspended=True)

    def _account_reinstated(self, payload: Payload, at: datetime) -> Outcome:
        return self._scope(payload["scope"], at, suspended=False)

    def _scope(self, scope: str, at: datetime, *, suspended: bool) -> Outcome:
        before = scope in self._suspended(at + timedelta(microseconds=1))
        self.facts.append((at, scope, suspended))
        return ("recorded" if before == suspended else "applied", "suspended" if suspended else "reinstated")


MEMBERSHIP_TOPICS = {
    "membership-plan-chosen",
    "promo-code-entered",
    "membership-charge-settled",
    "earnings-balance-updated",
    "account-suspended",
    "account-reinstated",
}


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _at(payload: Payload) -> datetime:
    return datetime.fromisoformat(payload["occurred_at"]).astimezone(UTC)
