"""One membership, driven at random over years: whatever is chosen, paid and suspended, sent late or early, it adds up.

The invariants are checked after every decision (`tests/kit/membership_checks.py`): one open charge at most, one
grant for each charge that was paid, cycles that never go back, versions without a gap, nothing waits that counts.
"""

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.kit.members import with_promo_codes
from tests.kit.story import Story
from tests.property.variety import looking
from worker.domain.model import ChargeId, FreelancerId, midnight

WHO = st.sampled_from(("f-1", "f-1", "f-1", "f-2"))
OFF = st.sampled_from((0, 0, 0, 0, 1, 29, 31, 3_600, 86_400, 86_400 * 20, 86_400 * 40))
"""By how many seconds an event is older than business time when it is read."""
SCOPES = st.sampled_from(("account", "billing-method"))
CODES = st.sampled_from(("HALF", "THIRD", "FIVE", "GIFT", "NOPE"))


class OneMembership(RuleBasedStateMachine):
    """A second freelancer is there so that what names the wrong one happens too."""

    def __init__(self) -> None:
        super().__init__()
        self.story = Story()

    @initialize(late_cycle_start=st.sampled_from(("following-month", "after-anniversary")), days=st.integers(0, 60))
    def begins(self, late_cycle_start: str, days: int) -> None:
        self.story = Story(with_promo_codes(late_cycle_start=late_cycle_start))
        self.story.passes(days=days)

    def _send(self, topic: str, off: float, **fields: object) -> None:
        self.story.send(topic, at=self.story.now - timedelta(seconds=off), **fields)

    @rule(who=WHO, off=OFF)
    def registers(self, who: str, off: float) -> None:
        self._send("freelancer-registered", off, freelancer_id=who)

    @rule(who=WHO, plan=st.sampled_from(("plus", "plus", "basic")), code=st.none() | CODES, off=OFF)
    def chooses(self, who: str, plan: str, code: str | None, off: float) -> None:
        self._send("membership-plan-chosen", off, freelancer_id=who, plan=plan, promo_code=code)

    @rule(who=WHO, plan_first=st.booleans())
    def pays_what_is_asked(self, who: str, plan_first: bool) -> None:  # noqa: FBT001
        """Having chosen Plus, perhaps; what is suspended is lifted first."""
        if plan_first:
            for scope in ("account", "billing-method"):
                self._send("account-reinstated", 0, freelancer_id=who, scope=scope)
            self._send("membership-plan-chosen", 0, freelancer_id=who, plan="plus")
        membership = self.story.state.memberships.get(FreelancerId(who))
        if membership is not None and (asked := membership.upgrade or membership.renewal):
            self._answer(who, asked, "paid", 0)

    @rule(who=WHO, outcome=st.sampled_from(("paid", "failed")), back=st.integers(0, 3), off=OFF)
    def answers_a_charge(self, who: str, outcome: str, back: int, off: float) -> None:
        """Answers one of the last charges, which may be another freelancer's or answered before."""
        known = [*self.story.state.charges]
        if known:
            self._answer(who, known[max(0, len(known) - 1 - back)].charge_id, outcome, off)

    @rule(who=WHO, outcome=st.sampled_from(("paid", "failed")), attempt=st.sampled_from((1, 2)), off=OFF)
    def answers_a_charge_early(self, who: str, outcome: str, attempt: int, off: float) -> None:
        """Answers the renewal that is asked next, or its second attempt."""
        membership = self.story.state.memberships.get(FreelancerId(who))
        if membership is not None and membership.next_renewal is not None:
            self._answer(who, ChargeId(f"{who}:{membership.next_renewal}:{attempt}"), outcome, off)

    def _answer(self, who: str, charge: ChargeId, outcome: str, off: float) -> None:
        said = {"charge_id": charge, "outcome": outcome, "source": "the billing system"}
        self._send("membership-charge-settled", off, freelancer_id=who, **said)

    @rule(who=WHO, cents=st.sampled_from((0, 999, 1000, 1999, 2000, 9000)), off=OFF)
    def earns(self, who: str, cents: int, off: float) -> None:
        self._send("earnings-balance-updated", off, freelancer_id=who, available_cents=cents)

    @rule(who=WHO, scope=SCOPES, off=OFF)
    def is_suspended(self, who: str, scope: str, off: float) -> None:
        self._send("account-suspended", off, freelancer_id=who, scope=scope)

    @rule(who=WHO, scope=SCOPES, off=OFF)
    def is_reinstated(self, who: str, scope: str, off: float) -> None:
        self._send("account-reinstated", off, freelancer_id=who, scope=scope)

    @rule(who=WHO, code=CODES, off=OFF)
    def enters_a_code(self, who: str, code: str, off: float) -> None:
        self._send("promo-code-entered", off, freelancer_id=who, promo_code=code)

    @rule(seconds=st.sampled_from((-1, 0, 1, 29, 30)))
    def midnight_comes(self, seconds: int) -> None:
        """To just before, at or after the next cycle start, which is booked 30 seconds after midnight."""
        starts = [known.next_renewal for known in self.story.state.memberships.values() if known.next_renewal]
        if starts:
            self.story.until(max(self.story.now, midnight(min(starts)) + timedelta(seconds=seconds)))

    @rule(days=st.integers(0, 2))
    def the_month_ends(self, days: int) -> None:
        """To the 1st of the next month, or just before: Plus, chosen after the 28th and paid in time, renews there."""
        now = self.story.now
        first = (now.replace(day=1, hour=12) + timedelta(days=32)).replace(day=1)
        self.story.until(max(now, first - timedelta(days=days)))

    @rule(days=st.sampled_from((1, 7, 28, 31, 62, 366)))
    def days_pass(self, days: int) -> None:
        self.story.passes(days=days)

    @invariant()
    def everything_adds_up(self) -> None:
        self.story.check()


OneMembership.TestCase.settings = settings(looking(examples=50), stateful_step_count=40)
TestOneMembership = OneMembership.TestCase
