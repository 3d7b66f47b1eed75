"""Corrections of amounts: a decision by a wrong release or policy gave more or less than it should have.

The verdict of the right rules, on the recorded state of then, comes with the correction, for the past does not change.
What differs from what stands is given or taken on the wallet as it is now, dated now. Sources: ours (domain.md,
Corrections).
"""

from datetime import datetime

import msgspec

from worker.domain.booking import Booking
from worker.domain.cards import part, sources
from worker.domain.decisions import Fact, Subject, Verdict
from worker.domain.model import FreelancerId, JobId, LotId, ProposalId
from worker.domain.policy import Policy
from worker.domain.rules.grants import ADJUST
from worker.domain.state import Amended, State

DECIDE = "correct.decide"
AMENDED, NOTHING = "amended", "nothing-to-do"


class ToAmend(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision whose amount is to be corrected; Connects are signed: what a wallet got, negative what it lost.

    `rule` is that of its Connects, `lot` what they entered, with its source and end; None: they opened none. `policy`
    names the corrected policy version by which the verdict was found, None: the one that the ledger has.
    """

    seq: int
    rule: str
    event_id: str
    occurred_at: datetime
    freelancer_id: FreelancerId
    job_id: JobId | None
    proposal_id: ProposalId | None
    booked: int
    verdict: int
    policy: str | None
    lot: LotId | None = None
    source: str | None = None
    expires_at: datetime | None = None

    @property
    def subject(self) -> Subject:
        """Whom and what it is about."""
        return Subject(self.freelancer_id, self.job_id, self.proposal_id)


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the ledger says of a decision now.

    `connects` are what stands for it since it was amended, by `policy`; None: it never was. `is_over`: it was voided,
    or its proposal was, or its event was given other content. `not_taken` are Connects that its corrections should have
    taken and did not, because they had expired or were not there, less those that later ones left out in return.
    `expired` are those that expired of what it gave, read only where something is to be taken.
    """

    connects: int | None = None
    policy: str | None = None
    is_over: bool = False
    not_taken: int = 0
    expired: int = 0

    def less(self, what: ToAmend) -> int:
        """By how many Connects the verdict is less than what stands; negative: it is more."""
        return (what.booked if self.connects is None else self.connects) - what.verdict


@part(
    id=DECIDE,
    once_per=None,
    source=None,
    reasons=(AMENDED, NOTHING),
    found_by={},
    policy=("corrections.least_life_days",),
)
def amend(state: State, what: ToAmend, standing: Standing, at: datetime, seq: int, policy: Policy) -> Verdict:
    """Give or take, at the instant `at`, what the verdict differs from what stands; from then on the verdict stands.

    What should be taken and expired already is `gone`; what is not there is the `shortfall`: no later correction takes
    it. Neither was taken, so it is not given back either: what a later correction gives is less by it (`set_off`).
    """
    less = standing.less(what)
    facts: dict[str, Fact] = {
        "event_id": what.event_id,
        "amended_rule": what.rule,
        "occurred_at": what.occurred_at,
        "corrected_at": at,
        "connects": what.verdict,
        "stood": what.verdict + less,
    }
    named = {"job_id": what.job_id, "proposal_id": what.proposal_id, "policy": what.policy}
    facts |= {name: value for name, value in named.items() if value is not None}
    if standing.is_over or not less:
        return Verdict("declined", NOTHING, DECIDE, facts)
    booking = Booking(state, state.wallet(what.freelancer_id))
    moved = _give(booking, what, standing, at, policy) if less < 0 else _take(booking, less, standing, at)
    facts |= {name: connects for name, connects in moved.items() if connects or name in {"given", "taken"}}
    not_taken = standing.not_taken + moved.get("gone", 0) + moved.get("shortfall", 0) - moved.get("set_off", 0)
    state.changed.amended.append(Amended(what.seq, seq, what.verdict, what.policy, not_taken))
    if booking.is_empty:
        return Verdict("applied", AMENDED, DECIDE, facts)
    about = {name: value for name, value in named.items() if value is not None and name != "policy"}
    return Verdict(
        "applied", AMENDED, DECIDE, facts, [booking.close(at, DECIDE, AMENDED, policy, what.subject, facts, about)]
    )


def _give(booking: Booking, what: ToAmend, standing: Standing, at: datetime, policy: Policy) -> dict[str, int]:
    """Give Connects into a lot like the one that the decision opened; of one that opened none, like an adjustment's."""
    due = -standing.less(what)
    set_off = min(due, standing.not_taken)
    least = at + policy.least_life
    source = sources[ADJUST] if what.source is None else what.source
    if due > set_off:
        booking.credit(due - set_off, source, at, max(what.expires_at or least, least), what.lot)
    return {"given": due - set_off, "set_off": set_off}


def _take(booking: Booking, due: int, standing: Standing, at: datetime) -> dict[str, int]:
    """Take Connects in burn order, but for those that expired and that no earlier correction counted."""
    gone = min(due, max(standing.expired - standing.not_taken, 0))
    shortfall = booking.take(due - gone, at)
    return {"taken": due - gone - shortfall, "gone": gone, "shortfall": shortfall}
