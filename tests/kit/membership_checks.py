"""Invariants of memberships, checked after every decision, from what is published and from the state."""

from collections.abc import Iterable

from worker.domain.decisions import Decision, MembershipUpdate
from worker.domain.model import ChargeKey, Membership, midnight
from worker.domain.policy import PolicyBook
from worker.domain.rules.memberships import ready
from worker.domain.state import State


class MembershipChecks:
    """Versions without a gap, cycles that never go back, one open charge, one grant for each charge that was paid."""

    def __init__(self, state: State, policies: PolicyBook) -> None:
        self._state = state
        self._plus_may_bring_nothing = any(not version.monthly_plus_paid for version in policies.versions)
        self._published: dict[str, MembershipUpdate] = {}
        self._asked: dict[ChargeKey, int] = {}

    def after(self, decisions: Iterable[Decision]) -> None:
        """The decisions of one trigger."""
        named = {}
        for decision in decisions:
            self._add(decision)
            if decision.subject.freelancer_id is not None:
                named[decision.subject.freelancer_id] = decision
        for freelancer_id in named:
            membership = self._state.memberships.get(freelancer_id)
            if membership is not None:
                self.compare(membership)

    def _add(self, decision: Decision) -> None:
        published, charge, who = decision.membership, decision.charge, decision.subject.freelancer_id or ""
        if published is not None:
            before = self._published.get(who)
            assert published.version == (before.version if before else 0) + 1, f"{who}: membership versions have a gap"
            assert published.cycle_start < published.next_renewal_on, f"{who}: a cycle of no days: {published}"
            assert published.reason == decision.reason, f"{who}: {published.reason}, decided {decision.reason}"
            if before is not None:
                assert published[1:-1] != before[1:-1], f"{who}: published again what was published before: {published}"
                assert published.cycle_start >= before.cycle_start, f"{who}: the cycle went back: {before}, {published}"
            self._published[who] = published
        if charge is not None:
            assert charge.key not in self._asked, f"{charge.key} was asked by {self._asked}"
            assert charge.decision_seq == decision.seq, f"{charge.charge_id} names another decision"
            assert charge.freelancer_id == who, f"{charge.charge_id} is asked of somebody else"
            assert charge.amount_cents > 0, f"{charge.charge_id} asks for nothing"
            self._asked[charge.key] = decision.seq

    def compare(self, membership: Membership) -> None:
        """One membership, as the books have it."""
        who, published = membership.freelancer_id, self._published.get(membership.freelancer_id)
        if membership.cycle_start is None:
            assert (published, membership.version) == (None, 0), f"{who}: published before it began"
            return
        assert published is not None, f"{who}: began, and nothing was published"
        now = (membership.version, membership.plan, membership.cycle_start, membership.next_renewal)
        assert published[:4] == now, f"{who}: published {published}, is {now}"
        open_charge = membership.upgrade if membership.plan == "basic" else membership.renewal
        assert {membership.upgrade, membership.renewal} <= {None, open_charge}, f"{who}: an open charge of no use"
        mine = [charge for charge in self._state.charges.values() if charge.freelancer_id == who]
        asked = {charge.charge_id for charge in mine if charge.status == "asked"}
        assert asked == ({open_charge} if open_charge else set()), f"{who}: open charges {asked}"
        for charge in mine:
            keys = [(rule, f"{who}/{charge.charge_id}") for rule in ("grant.upgrade", "grant.monthly")]
            granted, paid = sum(key in self._state.grants for key in keys), charge.status == "paid"
            right = granted == paid or (paid and self._plus_may_bring_nothing)
            assert right, f"{who}: {charge.charge_id} {charge.status}, {granted} grants"
        assert not ready(self._state, who), f"{who}: something waits that counts by now"
        for held in self._state.held.get(who, ()):
            waits_for_cycle = membership.next_renewal and held.event.occurred_at >= midnight(membership.next_renewal)
            assert waits_for_cycle or held.topic == "membership-charge-settled", f"{who}: waits for nothing: {held}"
        suspensions = membership.suspensions
        assert suspensions == sorted(suspensions, key=lambda fact: fact.at), f"{who}: suspensions out of order"
        assert all(promo.charges_left >= 0 for promo in membership.promos), f"{who}: a promotion used too often"
        codes = [promo.code for promo in membership.promos]
        assert len(codes) == len(set(codes)), f"{who}: a promotion accepted twice"
