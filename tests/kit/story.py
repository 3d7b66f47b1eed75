"""The rules without anything around them: the events of a test happen one after the other, and time goes on.

    story = Story()
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=12)
    story.closed("j-1", "closed-by-client")
    assert story.settled() == ["applied/closed-without-hire"]

Each event happens a minute after the one before, unless `at` says when, and is read when it happens, unless that is
past already: then it is late. Clock work that is due before an event is done before it. After each decision the story
checks what must always hold, and fails by itself if it does not.
"""

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, TypedDict, Unpack

from schemas.base import InputEvent
from schemas.catalogue import INPUT_TOPICS
from tests.kit.membership_checks import MembershipChecks
from tests.kit.policies import policies as the_policies
from worker.domain.decide import (
    decide_cycle,
    decide_event,
    decide_expiry,
    decide_settlement,
    decide_settling_again,
)
from worker.domain.decisions import Change, Decision, MembershipUpdate
from worker.domain.model import (
    Cause,
    Charge,
    Closure,
    FreelancerId,
    JobId,
    Lot,
    Membership,
    ProposalId,
    Spend,
    Wallet,
    midnight,
)
from worker.domain.policy import PolicyBook
from worker.domain.state import Changed, Due, State
from worker.domain.triggers import CycleDue, ExpiryDue, Received, SettleAgain, SettlementDue
from worker.words.explanations import explain

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
GRACE = timedelta(seconds=30)
A_MINUTE = timedelta(minutes=1)


def day(number: float, seconds: float = 0) -> datetime:
    """That many days, and seconds, after the story's start."""
    return START + timedelta(days=number, seconds=seconds)


def answer(decision: Decision) -> str:
    """A decision in short: `declined/already-granted`."""
    return f"{decision.outcome}/{decision.reason}"


def answers(decisions: Iterable[Decision]) -> list[str]:
    return [answer(decision) for decision in decisions]


def explained(decision: Decision) -> str:
    """The decision in the words that a support agent pastes."""
    return explain(decision.reason, decision.outcome, decision.subject, decision.facts, decision.rule)


def only_change(decision: Decision) -> Change:
    (change,) = decision.changes
    return change


class When(TypedDict, total=False):
    """Fields that any event may have."""

    at: datetime
    event_id: str


class LotLeft(NamedTuple):
    """The fields of a lot that tests compare."""

    source: str
    remaining: int
    expires_at: datetime


class Story:
    """One ledger's books and its clock. `now` is business time; `decisions` are all there are, in ledger order."""

    def __init__(self, policies: PolicyBook | None = None, *, start: datetime = START, strict: bool = False) -> None:
        self.policies = policies or the_policies()
        self.state = State(GRACE, strict=strict)
        self.decisions: list[Decision] = []
        self.now = start
        self.due_done: list[tuple[str, str]] = []
        self._offsets: Counter[str] = Counter()
        self._due: list[tuple[datetime, int, int, Due]] = []
        self._due_noted = 0
        self._told_settlements = 0
        self._checks = Checks(self.state, self.policies)
        self._membership_checks = MembershipChecks(self.state, self.policies)

    # What happens.

    def registered(self, freelancer: str, **when: Unpack[When]) -> Decision:
        return self.send("freelancer-registered", freelancer_id=freelancer, **when)

    def earned_badge(self, freelancer: str, badge: str = "rising-talent", **when: Unpack[When]) -> Decision:
        return self.send("badge-earned", freelancer_id=freelancer, badge=badge, **when)

    def certified(
        self, freelancer: str, certification: str = "s-1", kind: str = "skill-certification", **when: Unpack[When]
    ) -> Decision:
        named = {"freelancer_id": freelancer, "certification_id": certification}
        return self.send("certification-completed", **named, kind=kind, **when)

    def interviewed(
        self,
        freelancer: str,
        on: str,
        *,
        spent: int = 100,
        hires: int = 1,
        origin: str = "proposal",
        **when: Unpack[When],
    ) -> Decision:
        client = {"client_id": "c-1", "client_hires": hires, "client_spent_cents": spent}
        return self.send("interview-won", freelancer_id=freelancer, job_id=on, origin=origin, **client, **when)

    def bought(self, freelancer: str, connects: int, purchase: str | None = None, **when: Unpack[When]) -> Decision:
        purchase = purchase or self._new_id("b")
        return self.send(
            "connects-purchased", freelancer_id=freelancer, purchase_id=purchase, connects=connects, **when
        )

    def adjusted(self, freelancer: str, connects: int, adjustment: str | None = None, **when: Unpack[When]) -> Decision:
        said = {"adjustment_id": adjustment or self._new_id("a"), "actor": "support-1", "note": "a correction"}
        return self.send("connects-adjusted", freelancer_id=freelancer, connects=connects, **said, **when)

    def proposed(
        self,
        proposal: str,
        *,
        by: str,
        on: str,
        connects: int,
        boost: int = 0,
        origin: str = "proposal",
        **when: Unpack[When],
    ) -> Decision:
        cost = {"connects": connects, "boost_connects": boost}
        return self._about(proposal, "proposal-submitted", by, on, {**cost, "origin": origin, **when})

    def withdrew(self, proposal: str, *, by: str, on: str, **when: Unpack[When]) -> Decision:
        return self._about(proposal, "proposal-withdrawn", by, on, when)

    def outbid(self, proposal: str, *, by: str, on: str, **when: Unpack[When]) -> Decision:
        return self._about(proposal, "boost-outbid", by, on, when)

    def hired(self, on: str, freelancer: str = "f-hired", **when: Unpack[When]) -> Decision:
        return self.send("hire-made", job_id=on, freelancer_id=freelancer, contract_id="k-1", **when)

    def closed(self, job: str, closure: str = "closed-by-client", **when: Unpack[When]) -> Decision:
        return self.send("job-closed", job_id=job, client_id="c-1", closure=closure, **when)

    def chose(self, plan: str, by: str, *, promo: str | None = None, **when: Unpack[When]) -> Decision:
        return self.send("membership-plan-chosen", freelancer_id=by, plan=plan, promo_code=promo, **when)

    def entered(self, code: str, by: str, **when: Unpack[When]) -> Decision:
        return self.send("promo-code-entered", freelancer_id=by, promo_code=code, **when)

    def paid(self, charge: str, by: str, **when: Unpack[When]) -> Decision:
        return self._billed(charge, by, "paid", when)

    def unpaid(self, charge: str, by: str, **when: Unpack[When]) -> Decision:
        return self._billed(charge, by, "failed", when)

    def has_earned(self, freelancer: str, cents: int, **when: Unpack[When]) -> Decision:
        return self.send("earnings-balance-updated", freelancer_id=freelancer, available_cents=cents, **when)

    def suspended(self, freelancer: str, scope: str = "account", **when: Unpack[When]) -> Decision:
        return self.send("account-suspended", freelancer_id=freelancer, scope=scope, **when)

    def reinstated(self, freelancer: str, scope: str = "account", **when: Unpack[When]) -> Decision:
        return self.send("account-reinstated", freelancer_id=freelancer, scope=scope, **when)

    def send(self, topic: str, *, at: datetime | None = None, **fields: object) -> Decision:
        """Decide an event; returns its own decision. Its follow-ups are in `decisions` after it."""
        at = at or self.now + A_MINUTE
        event = INPUT_TOPICS[topic](event_id=fields.pop("event_id", self._new_id("e")), occurred_at=at, **fields)
        self._offsets[topic] += 1
        return self.read(topic, event, Cause(topic, event.event_id, 0, 0, self._offsets[topic] - 1))

    def added(self, topic: str, *, at: datetime | None = None, **fields: object) -> Decision:
        """Decide an event that never came and that a plan adds now."""
        at = at or self.now
        self.until(max(self.now, at))
        event = INPUT_TOPICS[topic](event_id=fields.pop("event_id", self._new_id("e")), occurred_at=at, **fields)
        value = event.model_dump_json(exclude_none=True).encode()
        return self.read(topic, event, Cause(topic, event.event_id, added=self._next_seq), value)

    def settles_again(self, proposal: str, *, late_hires: bool = False) -> Decision:
        """Settle a spend again now, as a plan orders it; what books nothing is not kept."""
        spend = self.spend(proposal)
        cause = Cause(None, f"command:{self._next_seq}")
        trigger = SettleAgain(self.state.jobs[spend.job_id], spend, late_hires, self.now, self._next_seq, cause)
        decision = decide_settling_again(self.state, trigger, self.policies)
        if decision.outcome == "applied":
            self._keep([decision])
        return decision

    def read(self, topic: str, event: InputEvent, cause: Cause, value: bytes = b"{}") -> Decision:
        """Decide an event that was read as that record; the clock work due before it is done before it."""
        self.until(max(self.now, event.occurred_at))
        trigger = Received(event, topic, cause, self.now, self._next_seq)
        self._keep(decide_event(self.state, trigger, self.policies, value))
        return self.decisions[trigger.seq - 1]

    # The clock.

    def until(self, instant: datetime) -> list[Decision]:
        """Let business time pass up to then; returns what the clock decided."""
        before = len(self.decisions)
        while (work := self._next_work(instant)) is not None:
            if isinstance(work, Lot):
                due = ExpiryDue(work, work.expires_at + GRACE, self._next_seq)
                self._keep([decide_expiry(self.state, due, self.policies)])
            elif isinstance(work, Membership):
                start = work.next_renewal or date.max
                cycle_due = CycleDue(work, midnight(start) + GRACE, self._next_seq)
                self._keep(decide_cycle(self.state, cycle_due, self.policies))
            else:
                self._settle(work)
        self.now = max(self.now, instant)
        return self.decisions[before:]

    def passes(self, **time: float) -> list[Decision]:
        """Let so much time pass: `story.passes(days=365)`."""
        return self.until(self.now + timedelta(**time))

    def settled(self) -> list[str]:
        """Let time pass until all closures are settled; returns the answers that nobody asked for before."""
        while self._due:
            self.until(self._due[-1][0])
        return answers(self.newly_settled())

    def newly_settled(self) -> list[Decision]:
        """The settlements that nobody asked for before."""
        made = [decision for decision in self.decisions if decision.kind == "settlement"]
        new, self._told_settlements = made[self._told_settlements :], len(made)
        return new

    def take_changed(self) -> Changed:
        """The objects that were opened or changed since the last call: those that a commit has to write."""
        changed, self.state.changed = self.state.changed, Changed()
        self._due_noted = 0
        self._checks.grants_checked = 0
        return changed

    # What tests ask.

    def check(self) -> None:
        """Check what must always hold, of every wallet."""
        for wallet in self.state.wallets.values():
            self._checks.compare(wallet)

    def balance(self, freelancer: str) -> int:
        return self.wallet(freelancer).balance

    def wallet(self, freelancer: str) -> Wallet:
        return self.state.wallets[FreelancerId(freelancer)]

    def lots(self, freelancer: str) -> list[LotLeft]:
        """The lots with something remaining, in the order they burn."""
        return [LotLeft(lot.source, lot.remaining, lot.expires_at) for lot in self.wallet(freelancer).lots]

    def remaining(self, freelancer: str) -> list[int]:
        return [lot.remaining for lot in self.wallet(freelancer).lots]

    def spend(self, proposal: str) -> Spend:
        return self.state.spends[ProposalId(proposal)]

    def membership(self, freelancer: str) -> Membership:
        return self.state.memberships[FreelancerId(freelancer)]

    def charge(self, freelancer: str) -> Charge:
        """The charge that was requested last."""
        asked = [decision.charge for decision in self.decisions if decision.charge is not None]
        return [charge for charge in asked if charge.freelancer_id == freelancer][-1]

    def updates(self, freelancer: str) -> list[MembershipUpdate]:
        """What membership-updated said of a freelancer, in order."""
        mine = [decision for decision in self.decisions if decision.subject.freelancer_id == freelancer]
        return [decision.membership for decision in mine if decision.membership is not None]

    def debt(self, freelancer: str) -> int:
        return sum(line.debt for spend in self.wallet(freelancer).owing for line in spend.lines)

    def changes(self, freelancer: str) -> list[Change]:
        """The wallet's history."""
        return [
            change for decision in self.decisions for change in decision.changes if change.freelancer_id == freelancer
        ]

    # How it is done.

    @property
    def _next_seq(self) -> int:
        return len(self.decisions) + 1

    def _new_id(self, kind: str) -> str:
        self._offsets[kind] += 1
        return f"{kind}-{self._offsets[kind]}"

    def _about(self, proposal: str, topic: str, by: str, on: str, rest: Mapping[str, object]) -> Decision:
        return self.send(topic, freelancer_id=by, job_id=on, proposal_id=proposal, **rest)

    def _billed(self, charge: str, by: str, outcome: str, when: When) -> Decision:
        said = {"charge_id": charge, "outcome": outcome, "source": "the billing system"}
        return self.send("membership-charge-settled", freelancer_id=by, **said, **when)

    def _keep(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            assert decision.seq == self._next_seq, f"{decision.seq} is at {self._next_seq} in ledger order"
            self.decisions.append(decision)
        self._checks.after(decisions)
        self._membership_checks.after(decisions)
        for due in self.state.changed.due_added[self._due_noted :]:
            rank = 0 if due.kind == "settlement" else 1
            insort(self._due, (due.due_at, rank, len(self._due), due), key=lambda work: work[:2])
        self._due_noted = len(self.state.changed.due_added)

    def _next_work(self, instant: datetime) -> Due | Lot | Membership | None:
        """The next work of the schedule: by due instant; settlements, then expiries, then cycle starts."""
        work: list[tuple[datetime, int, str, Due | Lot | Membership]] = []
        if self._due:
            work.append((self._due[0][0], 0, "", self._due[0][3]))
        for wallet in self.state.wallets.values():
            # Lots are in burn order: the first expires first.
            work.extend((lot.expires_at + GRACE, 1, lot.lot_id, lot) for lot in wallet.lots[:1])
        for membership in self.state.memberships.values():
            if membership.next_renewal is not None:
                at = midnight(membership.next_renewal) + GRACE
                work.append((at, 2, membership.freelancer_id, membership))
        first = min(work, key=lambda one: one[:3], default=None)
        if first is None or first[0] > instant:
            return None
        if first[1] == 0:
            self._due.pop(0)
        return first[3]

    def _settle(self, due: Due) -> None:
        seq, _, proposal_id = due.key.partition("/")
        closure = self._closure(int(seq))
        spends = [self.state.spends[known] for known in self.state.jobs[closure.job_id].proposal_ids]
        if proposal_id:
            spends = [self.state.spends[ProposalId(proposal_id)]]
        for spend in spends:
            if spend.occurred_at <= closure.closed_at:
                trigger = SettlementDue(closure, spend, due.due_at, self._next_seq)
                self._keep([decide_settlement(self.state, trigger, self.policies)])
        if not closure.settled:
            closure.settled, closure.settled_through = True, spends[-1].decision_seq if spends else 0
        self.state.changed.closures[closure.decision_seq] = closure
        self.due_done.append((due.kind, due.key))

    def _closure(self, seq: int) -> Closure:
        named = self.decisions[seq - 1].subject.job_id
        (closure,) = (known for known in self.state.jobs[JobId(named or "")].closures if known.decision_seq == seq)
        return closure


class Checks:
    """I1, I3, I4 and I5, checked after every decision, from the changes alone and from the state."""

    def __init__(self, state: State, policies: PolicyBook) -> None:
        self._state = state
        self._below_zero = any(one.overdraft == "allow" or one.late_hire == "claw-back" for one in policies.versions)
        self._balances: Counter[str] = Counter()
        self._versions: Counter[str] = Counter()
        self._lots: Counter[str] = Counter()
        self._original: dict[str, int] = {}
        self._debts: Counter[tuple[str, str]] = Counter()
        self._taken: Counter[str] = Counter()
        self._granted: dict[tuple[str, str], int] = {}
        self._effects: dict[tuple[str | None, ...], int] = {}
        self.grants_checked = 0

    def after(self, decisions: list[Decision]) -> None:
        """The decisions of one trigger."""
        for decision in decisions:
            for change in decision.changes:
                self._add(decision, change)
        for freelancer_id in {change.freelancer_id for decision in decisions for change in decision.changes}:
            self.compare(self._state.wallets[freelancer_id])
        for grant in self._state.changed.grants[self.grants_checked :]:
            key = (grant.rule, grant.natural_key)
            assert key not in self._granted, f"I1: {key} was granted by decision {self._granted[key]} already: {grant}"
            self._granted[key] = grant.decision_seq
        self.grants_checked = len(self._state.changed.grants)

    def _add(self, decision: Decision, change: Change) -> None:
        where = f"decision {decision.seq} ({answer(decision)}), {change.freelancer_id} version {change.version}"
        moved = sum(movement.delta for movement in change.movements)
        assert change.delta == moved != 0, f"I3: {where}: delta {change.delta}, but its movements sum to {moved}"
        assert all(movement.delta for movement in change.movements), f"{where}: a movement of nothing"
        self._versions[change.freelancer_id] += 1
        assert change.version == self._versions[change.freelancer_id], f"I9: {where}: versions have a gap"
        assert change.balance_before == self._balances[change.freelancer_id], f"I3: {where}: balances do not join"
        self._balances[change.freelancer_id] = change.balance_after
        cause, about = decision.cause, decision.subject.proposal_id if decision.kind == "settlement" else None
        effect = (cause.topic, cause.event_id, about, change.rule, change.freelancer_id)
        if change.rule != "expire.lot":
            assert effect not in self._effects, f"I1: {where}: the same effect as decision {self._effects.get(effect)}"
        self._effects[effect] = decision.seq
        lots = sum(movement.delta for movement in change.movements if movement.lot_id is not None)
        assert change.delta == lots - change.debt_delta, f"I3: {where}: delta is not lots less debts"
        for lot_id, _, line, delta in change.movements:
            if lot_id is None:
                assert line is not None, f"{where}: a debt is some line's"
                self._debts[line] -= delta
            else:
                self._original.setdefault(lot_id, delta)
                self._lots[lot_id] += delta
                assert 0 <= self._lots[lot_id] <= self._original[lot_id], f"I4: {where}: {lot_id} {self._lots[lot_id]}"
        self._count(where, change)
        self._below_zero = self._below_zero or decision.kind == "correction"  # it may charge what is not there
        if not self._below_zero:
            assert change.balance_after >= 0, f"I4: {where}: below zero, which the policy does not allow"

    def _count(self, where: str, change: Change) -> None:
        """The Connects of a proposal: never below zero, never above its cost. (A refund's delta is what came back.)"""
        taken: Counter[str] = Counter()
        if change.rule == "refund.clawed-back":
            for movement in change.movements:
                assert movement.line is not None, f"{where}: claws back for no line"
                taken[movement.line.proposal_id] -= movement.delta
        elif change.rule.startswith(("spend.", "refund.", "correct.settle")):
            taken[change.about["proposal_id"]] = -change.delta
        for proposal_id, connects in taken.items():
            self._taken[proposal_id] += connects
            cost = self._state.spends[ProposalId(proposal_id)].connects
            assert 0 <= self._taken[proposal_id] <= cost, f"I5: {where}: {proposal_id} has taken {self._taken}"

    def compare(self, wallet: Wallet) -> None:
        lots = sum(lot.remaining for lot in wallet.lots)
        owing = {(spend.proposal_id, line.name): line.debt for spend in wallet.owing for line in spend.lines}
        where = f"wallet {wallet.freelancer_id} version {wallet.version}"
        assert wallet.balance == lots - sum(owing.values()), f"I3: {where}: balance is not lots less debts"
        assert wallet.balance == self._balances[wallet.freelancer_id], f"I3: {where}: balance is not its changes' sum"
        assert wallet.version == self._versions[wallet.freelancer_id], f"I9: {where}"
        for lot in wallet.lots:
            assert 0 < lot.remaining <= lot.original, f"I4: {where}: {lot.lot_id}"
            assert lot.remaining == self._lots[lot.lot_id], f"I3: {where}: {lot.lot_id} is not its movements' sum"
        assert not any(lot.remaining for lot in wallet.drained.values()), f"{where}: a drained lot holds something"
        assert wallet.lots == sorted(wallet.lots, key=lambda lot: lot.order), f"{where}: lots out of burn order"
        for line, debt in owing.items():
            assert self._debts[line] == debt, f"I3: {where}: the debt of {line} is not its movements' sum"
        for spend in self._state.spends.values():
            for part in spend.lines:
                taken = sum(draw.connects for draw in part.draws) + part.debt
                held = 0 if part.returned else part.connects
                assert taken == held, f"I5: {spend.proposal_id} {part.name}: {part.connects}, draws and debt {taken}"
