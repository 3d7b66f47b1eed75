"""Memberships, slowly: written from domain.md and docs/decisions/0008 alone.

All dated facts are kept as they were decided, and searched at each question.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from tests.model.answers import Answer, Charge, Event, MembershipUpdate, Row
from tests.model.state import Change, policy_instant

BASIC, PLUS = "basic", "plus"
ACCOUNT, BILLING_METHOD = "account", "billing-method"
EARNINGS, PAYMENT_METHOD = "earnings-balance", "payment-method"
UPGRADE_RULE, RENEWAL_RULE, DOWNGRADE_RULE = "membership.upgrade", "membership.renewal", "membership.downgrade"
MONTHLY_RULE = "grant.monthly"
INSTANT = timedelta(microseconds=1)


@dataclass
class Promo:
    """A code this freelancer may use, on the terms of the day on which it was accepted."""

    code: str
    percent_off: int
    cents_off: int
    left: int


@dataclass
class Membership:
    """One freelancer's plan and cycle, and every fact about it in the order decided; no cycle: it has not begun.

    `held` are the events that cannot count yet: when they are dated, and the decision that recorded them.
    """

    freelancer_id: str
    plan: str = BASIC
    cycle_start: date | None = None
    next_renewal: date | None = None
    downgrade_chosen_at: datetime | None = None
    upgrade: Charge | None = None
    renewal: Charge | None = None
    version: int = 0
    suspensions: list[tuple[datetime, str, bool]] = field(default_factory=list)
    balances: list[tuple[datetime, int]] = field(default_factory=list)
    promos: list[Promo] = field(default_factory=list)
    held: list[tuple[datetime, int]] = field(default_factory=list)

    @property
    def has_begun(self) -> bool:
        return self.cycle_start is not None

    def suspended_by(self, before: datetime | None = None) -> set[str]:
        """The scopes that are suspended by the latest of the facts, or of those dated before then."""
        found = set()
        for scope in (ACCOUNT, BILLING_METHOD):
            facts = [fact for fact in self.suspensions if fact[1] == scope and (before is None or fact[0] < before)]
            if facts and latest(facts)[2]:
                found.add(scope)
        return found

    def seen_by_others(self) -> tuple[Any, ...] | None:
        """The fields of membership-updated, without the version and the reason."""
        if not self.has_begun:
            return None
        suspended = bool(self.suspended_by())
        leaves = self.plan == PLUS and (self.downgrade_chosen_at is not None or suspended)
        return (self.plan, self.cycle_start, self.next_renewal, BASIC if leaves else None, suspended)


class CycleDecision(NamedTuple):
    """One of the decisions of a cycle start: its name, when it is dated, and the answer."""

    event_id: str
    at: datetime
    answer: Answer


class Memberships:
    """The six topics, and what the clock does at a cycle start. Wallets and policies are `Rules`' part."""

    policy_at: Callable[[datetime], dict[str, Any]]
    credit: Callable[..., Change]

    def __init__(self) -> None:
        self.memberships: dict[str, Membership] = {}
        self.charges: dict[tuple[str, str], Charge] = {}
        self.monthly_grants: set[tuple[str, ...]] = set()
        self.asked_for_nothing_through = 0
        """Up to this decision an earlier release decided, which asked for charges of 0 and waited for an answer."""
        self.membership_rules = {topic: self._in_time(topic) for topic in self._topics}

    @property
    def _topics(self) -> dict[str, Callable[[Membership, Event, Row], Answer]]:
        return {
            "membership-plan-chosen": self._plan_chosen,
            "promo-code-entered": self._promo_entered,
            "membership-charge-settled": self._charge_settled,
            "earnings-balance-updated": self._earnings_reported,
            "account-suspended": self._suspended,
            "account-reinstated": self._reinstated,
        }

    def membership_of(self, freelancer_id: str) -> Membership:
        return self.memberships.setdefault(freelancer_id, Membership(freelancer_id))

    def _in_time(self, topic: str) -> Callable[[Event, Row], Answer]:
        """The topic's rule, for what is dated before the next cycle start; the rest is held until that is booked."""

        def rule(event: Event, row: Row) -> Answer:
            membership = self.membership_of(event["freelancer_id"])
            if membership.next_renewal and event["at"] >= midnight(membership.next_renewal):
                membership.held.append((event["at"], row["seq"]))
                return Answer("recorded", "awaits-cycle-start", rule_of_waiting(topic, event))
            before = membership.seen_by_others()
            return self._publishing(membership, before, self._topics[topic](membership, event, row))

        return rule

    def _publishing(self, membership: Membership, before: tuple[Any, ...] | None, answer: Answer) -> Answer:
        """The answer, with what it publishes if a published field has changed."""
        after = membership.seen_by_others()
        if after is None or after == before:
            return answer
        membership.version += 1
        return answer._replace(membership=MembershipUpdate(membership.version, *after, answer.reason))

    def held_and_ready(self, freelancer_id: str, topic_and_event: Callable[[int], tuple[str, Event]]) -> list[int]:
        """The decisions that recorded what can count now, the first one first."""
        membership = self.membership_of(freelancer_id)
        ready = []
        for at, seq in sorted(membership.held):
            topic, event = topic_and_event(seq)
            in_time = membership.next_renewal is None or at < midnight(membership.next_renewal)
            if in_time and (topic != "membership-charge-settled" or self._charge(membership, event)):
                ready.append(seq)
        return ready

    def let_go(self, freelancer_id: str, seq: int) -> None:
        membership = self.membership_of(freelancer_id)
        membership.held = [held for held in membership.held if held[1] != seq]

    # Beginning, and the cycle days.

    def begins_by_registering(self, event: Event, answer: Answer) -> Answer:
        membership = self.membership_of(event["freelancer_id"])
        if membership.has_begun:
            return answer
        self._begin_on_basic(membership, event["at"])
        return self._publishing(membership, None, answer)

    def _begin_on_basic(self, membership: Membership, at: datetime) -> None:
        membership.plan = BASIC
        self._start_cycle(membership, at.date(), at)

    def _start_cycle(self, membership: Membership, day: date, policy_of: datetime) -> None:
        membership.cycle_start = day
        late = self.policy_at(policy_of)["memberships"]["late_cycle_start"]
        membership.next_renewal = next_cycle_start(day, late)

    # Choices.

    def _plan_chosen(self, membership: Membership, event: Event, row: Row) -> Answer:
        begins = not membership.has_begun
        if begins:
            self._begin_on_basic(membership, event["at"])
        if event["plan"] == PLUS:
            return self._plus_chosen(membership, event, row)
        if begins:
            return Answer("applied", "membership-began", "membership.began")
        has_or_awaits_plus = membership.plan == PLUS or membership.upgrade is not None
        if not has_or_awaits_plus or membership.downgrade_chosen_at is not None:
            return Answer("declined", "already-on-plan", DOWNGRADE_RULE)
        membership.downgrade_chosen_at = event["at"]
        return Answer("applied", "downgrade-scheduled", DOWNGRADE_RULE)

    def _plus_chosen(self, membership: Membership, event: Event, row: Row) -> Answer:
        at, code = event["at"], event.get("promo_code")
        has_or_awaits_plus = membership.plan == PLUS or membership.upgrade is not None
        if membership.suspended_by(before=at + INSTANT):
            return Answer("declined", "account-suspended", UPGRADE_RULE)
        if has_or_awaits_plus and membership.downgrade_chosen_at is None:
            return Answer("declined", "already-on-plan", UPGRADE_RULE)
        if code is not None:
            refusal = self._why_not(membership, code, at)
            if refusal:
                return Answer("declined", refusal, UPGRADE_RULE)
            self._accept(membership, code, at)
        if has_or_awaits_plus:
            membership.downgrade_chosen_at = None
            return Answer("applied", "downgrade-cancelled", DOWNGRADE_RULE)
        charge = self._ask(
            membership,
            kind="upgrade",
            name=event["event_id"],
            cycle_start=at.date(),
            chosen_at=at,
            at=at,
            row=row,
            choice_promo=code is not None,
        )
        if charge.status == "paid":
            return self._upgraded(membership, charge, event)
        membership.upgrade = charge
        return Answer("applied", "charge-requested", UPGRADE_RULE, charge=charge)

    # Promo codes.

    def _promo_entered(self, membership: Membership, event: Event, row: Row) -> Answer:
        del row
        refusal = self._why_not(membership, event["promo_code"], event["at"])
        if refusal:
            return Answer("declined", refusal, "membership.promo")
        self._accept(membership, event["promo_code"], event["at"])
        return Answer("applied", "promo-accepted", "membership.promo")

    def _why_not(self, membership: Membership, code: str, at: datetime) -> str | None:
        terms = self._codes(at).get(code)
        if terms is None:
            return "promo-code-unknown"
        if any(promo.code == code for promo in membership.promos):
            return "promo-code-already-used"
        if not policy_instant(terms["valid_from"]) <= at < policy_instant(terms["valid_until"]):
            return "promo-code-expired"
        return None

    def _accept(self, membership: Membership, code: str, at: datetime) -> None:
        terms = self._codes(at)[code]
        promo = Promo(code, terms.get("percent_off", 0), terms.get("cents_off", 0), terms["charges"])
        membership.promos.append(promo)

    def _codes(self, at: datetime) -> dict[str, Any]:
        codes: dict[str, Any] = self.policy_at(at)["memberships"].get("promo_codes", {})
        return codes

    # Charges: asked for, and answered.

    def _ask(
        self,
        membership: Membership,
        *,
        kind: str,
        name: str,
        cycle_start: date,
        chosen_at: datetime | None,
        at: datetime,
        row: Row,
        choice_promo: bool = False,
    ) -> Charge:
        amount, promo = self._price(membership, at)
        if promo:
            promo.left -= 1
        earned = latest(membership.balances)[1] if membership.balances else None
        return self._requested(
            Charge(
                charge_id=f"{membership.freelancer_id}:{name}:1",
                freelancer_id=membership.freelancer_id,
                kind=kind,
                cycle_start=cycle_start,
                chosen_at=chosen_at,
                attempt=1,
                amount_cents=amount,
                currency=self.policy_at(at)["memberships"]["currency"],
                source=EARNINGS if earned is not None and earned >= amount else PAYMENT_METHOD,
                promo_code=promo and promo.code,
                choice_promo=choice_promo,
                requested_at=at,
                decision_seq=row["seq"],
                status="paid" if amount == 0 and row["seq"] > self.asked_for_nothing_through else "asked",
            )
        )

    def _price(self, membership: Membership, at: datetime) -> tuple[int, Promo | None]:
        """The amount of a charge at that instant, and the promotion that it uses."""
        price = self.policy_at(at)["memberships"]["plus_price_cents"]
        usable = [promo for promo in membership.promos if promo.left > 0]
        if not usable:
            return price, None
        discount = price * usable[-1].percent_off // 100 + usable[-1].cents_off
        return max(0, price - discount), usable[-1]

    def _ask_again(self, charge: Charge, event: Event, row: Row) -> Charge:
        """The same, of the payment method."""
        once_more = {
            "charge_id": charge.charge_id.removesuffix("1") + "2",
            "attempt": 2,
            "source": PAYMENT_METHOD,
            "requested_at": event["at"],
            "decision_seq": row["seq"],
            "status": "asked",
        }
        return self._requested(Charge(**{**vars(charge), **once_more}))

    def _requested(self, charge: Charge) -> Charge:
        mine = (charge.freelancer_id, charge.charge_id)
        assert mine not in self.charges, f"asked for twice: {charge}"
        self.charges[mine] = charge
        return charge

    def _charge(self, membership: Membership, event: Event) -> Charge | None:
        """This freelancer's charge that an answer names, if it is known; others may have one of that id too."""
        return self.charges.get((membership.freelancer_id, event["charge_id"]))

    def _charge_settled(self, membership: Membership, event: Event, row: Row) -> Answer:
        charge = self._charge(membership, event)
        if charge is None:
            membership.held.append((event["at"], row["seq"]))
            return Answer("recorded", "unknown-charge", "membership.charge")
        rule = UPGRADE_RULE if charge.kind == "upgrade" else RENEWAL_RULE
        paid = event["outcome"] == "paid"
        if charge.status in {"paid", "failed"} or (charge.status == "lapsed" and not paid):
            return Answer("declined", "charge-already-settled", rule)
        lapsed = charge.status == "lapsed"
        charge.status = event["outcome"]
        if lapsed:
            return self._paid_after_lapse(charge, event)
        if not paid and charge.attempt == 1 and charge.source == EARNINGS:
            again = self._ask_again(charge, event, row)
            if charge.kind == "upgrade":
                membership.upgrade = again
            else:
                membership.renewal = again
            return Answer("applied", "charge-retried", rule, charge=again)
        if charge.kind == "upgrade":
            membership.upgrade = None
            return self._upgraded(membership, charge, event) if paid else self._not_upgraded(membership, charge)
        membership.renewal = None
        return self._renewed(charge) if paid else self._not_renewed(membership, charge)

    def _upgraded(self, membership: Membership, charge: Charge, event: Event) -> Answer:
        policy = self.policy_at(event["at"])
        monthly = policy["grants"]["monthly"]
        starts = charge.cycle_start
        over = next_cycle_start(starts, policy["memberships"]["late_cycle_start"]) <= event["at"].date()
        if starts < membership.cycle_start or over:
            starts = max(event["at"].date(), membership.cycle_start)
        days, length = starts - membership.cycle_start, membership.next_renewal - membership.cycle_start
        assert timedelta(0) <= days < length, f"{starts} is not in the cycle of {membership}"
        amount = monthly["plus_paid"] + monthly["plus_free"] * days.days // length.days
        membership.plan = PLUS
        self._start_cycle(membership, starts, event["at"])
        changes = self._grant_month(
            membership.freelancer_id,
            event["at"],
            amount,
            key=("grant.upgrade", charge.freelancer_id, charge.charge_id),
            reason="upgraded",
            source="upgrade",
        )
        return Answer("applied", "upgraded", UPGRADE_RULE, changes)

    def _not_upgraded(self, membership: Membership, charge: Charge) -> Answer:
        self._give_back(membership, charge)
        membership.downgrade_chosen_at = None
        return Answer("applied", "charge-failed", UPGRADE_RULE)

    def _give_back(self, membership: Membership, charge: Charge) -> None:
        """What a charge that failed used of a promotion may be used again; a code of the choice was never used."""
        if charge.choice_promo:
            membership.promos = [promo for promo in membership.promos if promo.code != charge.promo_code]
        for promo in membership.promos:
            if promo.code == charge.promo_code:
                promo.left += 1

    def _renewed(self, charge: Charge) -> Answer:
        changes = self._plus_month(charge, midnight(charge.cycle_start), "cycle-started")
        return Answer("applied", "renewed", RENEWAL_RULE, changes)

    def _paid_after_lapse(self, charge: Charge, event: Event) -> Answer:
        changes = self._plus_month(charge, event["at"], "paid-after-lapse")
        return Answer("applied", "paid-after-lapse", RENEWAL_RULE, changes)

    def _not_renewed(self, membership: Membership, charge: Charge) -> Answer:
        assert charge.cycle_start == membership.cycle_start
        self._give_back(membership, charge)
        membership.plan, membership.downgrade_chosen_at = BASIC, None
        changes = ()
        if ACCOUNT not in membership.suspended_by(before=midnight(charge.cycle_start)):
            changes = self._basic_month(membership, charge.cycle_start)
        return Answer("applied", "charge-failed", RENEWAL_RULE, changes)

    # What comes in.

    def _plus_month(self, charge: Charge, at: datetime, reason: str) -> tuple[Change, ...]:
        monthly = self.policy_at(at)["grants"]["monthly"]
        amount = monthly["plus_paid"] + monthly["plus_free"]
        key = (MONTHLY_RULE, charge.freelancer_id, charge.charge_id)
        return self._grant_month(charge.freelancer_id, at, amount, key=key, reason=reason, source="monthly")

    def _basic_month(self, membership: Membership, day: date) -> tuple[Change, ...]:
        at, freelancer_id = midnight(day), membership.freelancer_id
        amount = self.policy_at(at)["grants"]["monthly"]["basic"]
        key = (MONTHLY_RULE, freelancer_id, day.isoformat())
        return self._grant_month(freelancer_id, at, amount, key=key, reason="cycle-started", source="monthly")

    def _grant_month(
        self, freelancer_id: str, at: datetime, amount: int, *, key: tuple[str, ...], reason: str, source: str
    ) -> tuple[Change, ...]:
        assert key not in self.monthly_grants, f"granted twice: {key}"
        self.monthly_grants.add(key)
        if amount == 0:
            return ()
        return (self.credit(freelancer_id, at, amount, rule=key[0], reason=reason, source=source),)

    # Balances and suspensions.

    def _earnings_reported(self, membership: Membership, event: Event, row: Row) -> Answer:
        del row
        membership.balances.append((event["at"], event["available_cents"]))
        return Answer("recorded", "earnings-noted", "membership.earnings")

    def _suspended(self, membership: Membership, event: Event, row: Row) -> Answer:
        del row
        return self._suspension(membership, event, True, "suspended")

    def _reinstated(self, membership: Membership, event: Event, row: Row) -> Answer:
        del row
        return self._suspension(membership, event, False, "reinstated")

    def _suspension(self, membership: Membership, event: Event, suspended: bool, reason: str) -> Answer:  # noqa: FBT001
        before = membership.suspended_by()
        membership.suspensions.append((event["at"], event["scope"], suspended))
        changed = membership.suspended_by() != before
        return Answer("applied" if changed else "recorded", reason, "membership.suspension")

    # A cycle starts.

    def cycle_starts(self, membership: Membership, row: Row) -> list[CycleDecision]:
        """All decisions of the membership's next cycle start, in order; `row` is the first of them."""
        day, at = membership.next_renewal, midnight(membership.next_renewal)
        renewal = f"renewal:{membership.freelancer_id}:{day}"
        if membership.plan == BASIC:
            return [self._basic_cycle_starts(membership)]
        before = membership.seen_by_others()
        if membership.renewal is not None:
            lapsed, membership.renewal = membership.renewal, None
            lapsed.status = "lapsed"
            membership.plan, membership.downgrade_chosen_at = BASIC, None
            answer = self._publishing(membership, before, Answer("applied", "charge-failed", RENEWAL_RULE))
            return [
                CycleDecision(renewal, at, answer),
                self._basic_cycle(membership, lapsed.cycle_start),
                self._basic_cycle_starts(membership),
            ]
        if self._leaves_plus(membership, at):
            membership.plan, membership.downgrade_chosen_at = BASIC, None
            answer = self._publishing(membership, before, Answer("applied", "downgraded", DOWNGRADE_RULE))
            return [CycleDecision(renewal, at, answer), self._basic_cycle_starts(membership)]
        charge = self._ask(
            membership, kind="renewal", name=day.isoformat(), cycle_start=day, chosen_at=None, at=at, row=row
        )
        self._start_cycle(membership, day, at)
        if charge.status == "paid":
            answer = self._renewed(charge)
            cycle = f"cycle:{membership.freelancer_id}:{day}"
            return [CycleDecision(cycle, at, self._publishing(membership, before, answer))]
        membership.renewal = charge
        answer = Answer("applied", "charge-requested", RENEWAL_RULE, charge=charge)
        return [CycleDecision(renewal, at, self._publishing(membership, before, answer))]

    def _leaves_plus(self, membership: Membership, at: datetime) -> bool:
        chosen_at = membership.downgrade_chosen_at
        return (chosen_at is not None and chosen_at < at) or bool(membership.suspended_by(before=at))

    def name_of_cycle_start(self, membership: Membership) -> str:
        """What the first decision of the next cycle start is caused by: what brings Connects itself is a `cycle`."""
        at = midnight(membership.next_renewal)
        renews = membership.plan == PLUS and membership.renewal is None and not self._leaves_plus(membership, at)
        brings = membership.plan == BASIC or (renews and self._price(membership, at)[0] == 0)
        return f"{'cycle' if brings else 'renewal'}:{membership.freelancer_id}:{membership.next_renewal}"

    def _basic_cycle_starts(self, membership: Membership) -> CycleDecision:
        """The cycle moves on, on Basic."""
        before, day = membership.seen_by_others(), membership.next_renewal
        decision = self._basic_cycle(membership, day)
        self._start_cycle(membership, day, midnight(day))
        return decision._replace(answer=self._publishing(membership, before, decision.answer))

    def _basic_cycle(self, membership: Membership, day: date) -> CycleDecision:
        """Basic's Connects of the cycle that starts, or started, on that day."""
        name, at = f"cycle:{membership.freelancer_id}:{day}", midnight(day)
        if ACCOUNT in membership.suspended_by(before=at):
            return CycleDecision(name, at, Answer("withheld", "account-suspended", MONTHLY_RULE))
        changes = self._basic_month(membership, day)
        if not changes:
            return CycleDecision(name, at, Answer("declined", "nothing-to-do", MONTHLY_RULE))
        return CycleDecision(name, at, Answer("applied", "cycle-started", MONTHLY_RULE, changes))


def rule_of_waiting(topic: str, event: Event) -> str:
    """The rule of what awaits a cycle start."""
    if topic == "membership-plan-chosen":
        return UPGRADE_RULE if event["plan"] == PLUS else DOWNGRADE_RULE
    return {
        "promo-code-entered": "membership.promo",
        "membership-charge-settled": "membership.charge",
        "earnings-balance-updated": "membership.earnings",
        "account-suspended": "membership.suspension",
        "account-reinstated": "membership.suspension",
    }[topic]


def midnight(day: date) -> datetime:
    """The instant at which a cycle of that day starts."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def next_cycle_start(day: date, late_cycle_start: str) -> date:
    """The day of the next cycle start: nobody is billed after the 28th."""
    months = 1
    if day.day > 28:
        day = day.replace(day=1)
        months = {"following-month": 1, "after-anniversary": 2}[late_cycle_start]
    for _ in range(months):
        day = day.replace(year=day.year + 1, month=1) if day.month == 12 else day.replace(month=day.month + 1)
    return day


def latest(facts: list[Any]) -> Any:  # noqa: ANN401
    """Of facts that begin with their date the latest one; of two dated alike the one that comes later."""
    found = facts[0]
    for fact in facts:
        if fact[0] >= found[0]:
            found = fact
    return found
