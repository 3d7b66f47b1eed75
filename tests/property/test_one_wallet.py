"""One wallet, driven at random: whatever happens next, it adds up, and nothing is granted or returned twice.

The invariants are those that `connects verify` checks: I1 (one effect for each fact), I3 (balance = changes = lots less
debts), I4 (no lot below zero or above its original), I5 (never more returned than spent).
"""

from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.kit.policies import policies
from tests.kit.story import Story
from tests.property.variety import POLICIES, looking

WHO = st.sampled_from(("f-1", "f-1", "f-1", "f-2"))
JOBS = st.sampled_from(("j-1", "j-2"))
PROPOSALS = st.sampled_from(tuple(f"p-{number}" for number in range(1, 7)))
CONNECTS = st.sampled_from((0, 1, 4, 12, 39, 40, 41, 200))
LATE = st.sampled_from((0, 0, 0, 1, 31, 3_600, 86_400 * 40, 86_400 * 400))
"""By how many seconds an event is older than business time when it is read."""


class OneWallet(RuleBasedStateMachine):
    """A second freelancer is there so that what names the wrong one happens too."""

    def __init__(self) -> None:
        super().__init__()
        self.story = Story()

    @initialize(policy=st.sampled_from(sorted(POLICIES)))
    def begins(self, policy: str) -> None:
        self.story = Story(policies(POLICIES[policy]))

    def _send(self, topic: str, late: float, **fields: Any) -> None:  # noqa: ANN401
        self.story.send(topic, at=self.story.now - timedelta(seconds=late), **fields)

    @rule(who=WHO, late=LATE)
    def registers(self, who: str, late: float) -> None:
        self._send("freelancer-registered", late, freelancer_id=who)

    @rule(who=WHO, connects=CONNECTS, purchase=st.sampled_from(("b-1", "b-2", "b-3")), late=LATE)
    def buys(self, who: str, connects: int, purchase: str, late: float) -> None:
        self._send("connects-purchased", late, freelancer_id=who, purchase_id=purchase, connects=connects)

    @rule(who=WHO, connects=CONNECTS, take=st.booleans(), adjustment=st.sampled_from(("a-1", "a-2", "a-3")), late=LATE)
    def is_adjusted(self, who: str, connects: int, take: bool, adjustment: str, late: float) -> None:  # noqa: FBT001
        said = {"adjustment_id": adjustment, "actor": "support-1", "note": "a note"}
        self._send("connects-adjusted", late, freelancer_id=who, connects=-connects if take else connects, **said)

    @rule(who=WHO, job=st.sampled_from(tuple(f"j-{n}" for n in range(1, 9))), dear=st.booleans(), late=LATE)
    def wins_an_interview(self, who: str, job: str, dear: bool, late: float) -> None:  # noqa: FBT001
        client = {"client_id": "c-1", "client_hires": 1, "client_spent_cents": 2_000_000 if dear else 1}
        self._send("interview-won", late, freelancer_id=who, job_id=job, origin="proposal", **client)

    @rule(who=WHO, job=JOBS, proposal=PROPOSALS, base=CONNECTS, boost=CONNECTS, late=LATE)
    def proposes(self, who: str, job: str, proposal: str, base: int, boost: int, late: float) -> None:
        cost = {"connects": base, "boost_connects": boost, "origin": "proposal"}
        self._send("proposal-submitted", late, freelancer_id=who, job_id=job, proposal_id=proposal, **cost)

    @rule(who=WHO, job=JOBS, proposal=PROPOSALS, late=LATE)
    def is_outbid(self, who: str, job: str, proposal: str, late: float) -> None:
        self._send("boost-outbid", late, freelancer_id=who, job_id=job, proposal_id=proposal)

    @rule(who=WHO, job=JOBS, proposal=PROPOSALS, late=LATE)
    def withdraws(self, who: str, job: str, proposal: str, late: float) -> None:
        self._send("proposal-withdrawn", late, freelancer_id=who, job_id=job, proposal_id=proposal)

    @rule(job=JOBS, late=LATE)
    def somebody_is_hired(self, job: str, late: float) -> None:
        self._send("hire-made", late, job_id=job, freelancer_id="f-9", contract_id="k-1")

    @rule(
        job=JOBS,
        closure=st.sampled_from(("closed-by-client", "closed-by-client", "removed-by-marketplace", "expired")),
        late=LATE,
    )
    def a_job_closes(self, job: str, closure: str, late: float) -> None:
        self._send("job-closed", late, job_id=job, client_id="c-1", closure=closure)

    @rule(seconds=st.sampled_from((1, 29, 30, 31, 3_600)))
    def moments_pass(self, seconds: int) -> None:
        self.story.passes(seconds=seconds)

    @rule(days=st.sampled_from((1, 7, 29, 30, 31, 335, 365, 366)))
    def days_pass(self, days: int) -> None:
        self.story.passes(days=days)

    @invariant()
    def everything_adds_up(self) -> None:
        self.story.check()


OneWallet.TestCase.settings = settings(looking(examples=50), stateful_step_count=40)
TestOneWallet = OneWallet.TestCase
