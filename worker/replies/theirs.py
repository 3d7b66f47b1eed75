"""What happened to a person of what a topic is about: the sentence with which a standing answer begins.

The rule alone answers nobody who asks about themselves. Somebody who asks "why 73" is told their own 73 first.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

from worker.domain.rule_catalogue import REASONS
from worker.domain.rules.cycles import LAST_MONTHLY_DAY, next_cycle_start
from worker.domain.rules.expiry import EXPIRE
from worker.replies.compose import CORRECTING, correction_of, last_word_on, paid_debts
from worker.replies.known import Known
from worker.replies.proposals import about_proposal
from worker.replies.recorded import DecisionRecord
from worker.replies.reply import Next, Verdict
from worker.replies.several import One, in_one_sentence, outcomes, possible
from worker.replies.topics import Asking
from worker.replies.wallets import charge_waits, of_the_charge
from worker.replies.writing import Missing, date_in, day, not_outbid
from worker.words.phrases import connects

MOST_DECISIONS: Final = 200
"""The last decisions of a person that a topic looks at."""


class Own(NamedTuple):
    """A verdict of a person's own, the sentence that says it, what is said beside it, and what comes next.

    `ending` is said even where `beside` would make it too long.
    """

    verdict: Verdict
    headline: str
    beside: str = ""
    ahead: Sequence[Next] = ()
    ending: str = ""


def own_answer(topic: str, asking: Asking) -> Own | None:
    """What a person is told first; None: nothing of the kind happened to them, or nobody is named."""
    if asking.member is None:
        return None
    known = Known(
        asked="freelancer",
        key=asking.member.freelancer_id,
        policy=asking.policy,
        decisions=asking.decisions,
        applied=asking.proposals,
        member=asking.member,
        read_until=asking.member.read_until,
        of_the_person=asking.decisions,
    )
    try:
        if topic in _SUMS:
            return _SUMS[topic](known, asking.earlier_proposals)
        return _OTHERWISE.get(topic, _of_the_last)(topic, known)
    except Missing:
        return None


def _of_the_last(topic: str, known: Known) -> Own | None:
    """The verdict of the last decision that the topic is about, else of the last proposal."""
    last = next((one for one in reversed(known.decisions) if _is_about(topic, one)), None)
    if last is not None:
        return _of(last, known)
    fits = _PROPOSALS.get(topic)
    if fits is None:
        return None
    mine = next((one for one in reversed(outcomes(known)) if fits(one, known)), None)
    if mine is None:
        return None
    return _of_one(mine, known)


def _of(one: DecisionRecord, known: Known) -> Own:
    draft = last_word_on(one, known)
    if correction_of(one, known.decisions) is not None:
        return Own(draft.verdict, draft.headline, draft.why, draft.ahead, draft.then)
    beside = paid_debts(one) if _HAS_DATE.search(draft.headline) else draft.why
    return Own(draft.verdict, draft.headline, beside, draft.ahead)


def _of_one(one: One, known: Known) -> Own:
    draft = about_proposal(one.applied, known)
    applied_on = f"You applied on {day(one.applied.spent_at)}."
    beside = "" if _HAS_DATE.search(draft.headline) else applied_on
    return Own(draft.verdict, draft.headline, beside, draft.ahead)


_HAS_DATE: Final = re.compile(r"\b\d{4}\b")
"""A reply has a date: where the verdict has none, the sentence after it stands beside it."""


def _is_about(topic: str, one: DecisionRecord) -> bool:
    reasons = _DECISIONS.get(topic, {}).get(one.rule or "", frozenset())
    return one.reason in reasons


def _was_hired(one: One) -> bool:
    return any(hire.freelancer_id == one.applied.freelancer_id for hire in one.applied.hires)


_MONTHLY: Final = frozenset({"cycle-started", "paid-after-lapse", "account-suspended"})
_RENEWED: Final = frozenset({"renewed", "charge-failed", "charge-retried", "paid-after-lapse"})
_OF_INTERVIEWS: Final = frozenset(
    {"interview-won", "interview-from-invitation", "client-not-established", "weekly-cap", "already-granted"}
)
_DECISIONS: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    "buying": {"grant.purchase": frozenset({"purchased"})},
    "courtesy": {"adjust": frozenset({"adjusted"})},
    "upgrade-amount": {"membership.upgrade": frozenset({"upgraded"}), "grant.upgrade": frozenset({"upgraded"})},
    "failed-payment": {
        "membership.upgrade": frozenset({"charge-failed", "charge-retried"}),
        "membership.renewal": frozenset({"charge-failed", "charge-retried"}),
    },
    "paid-late": {
        "membership.renewal": frozenset({"paid-after-lapse"}),
        "grant.monthly": frozenset({"paid-after-lapse"}),
    },
    "leaving-plus": {"membership.downgrade": frozenset({"downgrade-scheduled", "downgraded", "downgrade-cancelled"})},
    "suspension": {"membership.suspension": frozenset({"suspended", "reinstated"})},
    "new-account": {"grant.registration": frozenset({"registered"})},
    "interviews": {"grant.interview": _OF_INTERVIEWS},
    "weekly-limit": {"grant.interview": frozenset({"weekly-cap"})},
    "established-client": {"grant.interview": frozenset({"client-not-established"})},
    "invitations": {"grant.interview": frozenset({"interview-from-invitation"})},
    "badges": {"grant.badge": frozenset({"badge-earned", "no-award-for-badge", "already-granted"})},
    "certifications": {"grant.certification": frozenset({"certified", "not-a-skill-certification", "already-granted"})},
    "promo": {
        "membership.promo": frozenset(
            {"promo-accepted", "promo-code-unknown", "promo-code-expired", "promo-code-already-used"}
        )
    },
    "charged-twice": {"spend.proposal": frozenset({"already-spent"})},
}
"""The decisions of a person that a topic is about, by rule and reason."""
_PROPOSALS: Final[Mapping[str, Callable[[One, Known], bool]]] = {
    "boosts": lambda one, _: one.applied.boost > 0,
    "expired": lambda one, _: one.outcome.reason == "job-expired",
    "hired": lambda one, _: one.outcome.reason == "somebody-was-hired" and not _was_hired(one),
    "contract-cancelled": lambda one, _: one.outcome.reason == "somebody-was-hired" and _was_hired(one),
    "withdrawn": lambda one, _: one.outcome.reason == "proposal-withdrawn",
    "removed": lambda one, _: "removed-by-marketplace" in {closing.closure for closing in one.applied.closings},
    "reopened": lambda one, _: len(one.applied.closings) > 1,
    "refund-time": lambda one, _: one.outcome.state == "back",
    "refund-meaning": lambda one, _: one.outcome.state == "back",
}
"""The proposals of a person that a topic is about."""


def _proposals_together(known: Known, earlier: bool) -> Own | None:  # noqa: FBT001 - of the two, in a table
    """What became of all proposals, or of the last ones: a single one by itself, several added up."""
    return _together([one for one in outcomes(known) if one.applied.spent], known, earlier, "proposal")


def _still_open(known: Known, earlier: bool) -> Own | None:  # noqa: FBT001 - of the two, in a table
    """What is on open jobs."""
    still = [one for one in outcomes(known) if one.outcome.state == "open"]
    return _together(still, known, earlier, "open proposal")


def _together(paid: Sequence[One], known: Known, earlier: bool, noun: str) -> Own | None:  # noqa: FBT001 - as above
    if len(paid) == 1:
        return _of_one(paid[0], known)
    if not paid:
        return None
    return Own(*in_one_sentence(paid, "your last" if earlier else "your", noun), possible(paid))


def _last_monthly(_topic: str, known: Known) -> Own | None:
    """The charge that is waited for, or the last monthly Connects, or why there were none."""
    member = known.member
    if member is not None and (waits := charge_waits(member)):
        return Own("not-yet", f"Not yet: {waits}", ahead=of_the_charge(member))
    for one in reversed(known.decisions):
        fits = (one.rule == "grant.monthly" and one.reason in _MONTHLY) or (
            one.rule == "membership.renewal" and one.reason in _RENEWED
        )
        if fits or one.reason == "upgraded":
            draft = last_word_on(one, known)
            return Own(draft.verdict, draft.headline, draft.why if one.facts.get("why") else "", draft.ahead)
    return None


def _suspended(topic: str, known: Known) -> Own | None:
    """The last month that a suspension cost, else the suspension."""
    cost = next((one for one in reversed(known.decisions) if one.outcome == "withheld"), None)
    return _of_the_last(topic, known) if cost is None else _of(cost, known)


def _overdrawn(_topic: str, known: Known) -> Own | None:
    """The last Connects that came in and paid for earlier proposals."""
    for one in reversed(known.decisions):
        paid = paid_debts(one)
        if paid:
            change = one.changes[0]
            return Own("info", f"Your {connects(change.delta)} of {day(change.occurred_at)} came in.", paid)
    return None


def _expired(_topic: str, known: Known) -> Own | None:
    """What expired last, all of that day together."""
    went = [change for one in known.decisions for change in one.changes if change.rule == EXPIRE]
    if not went:
        return None
    last = max(change.occurred_at for change in went).date()
    if len(known.decisions) >= MOST_DECISIONS and all(change.occurred_at.date() == last for change in went):
        return None  # there may be more of that day
    count = -sum(change.delta for change in went if change.occurred_at.date() == last)
    return Own("info", f"Your balance lost {connects(count)} on {day(last)}, because they expired.")


def _late_start(_topic: str, known: Known) -> Own | None:
    """The last cycle that began too late in a month to be renewed on its own day, and what both cycles brought."""
    membership = None if known.member is None else known.member.membership
    if membership is None or membership.next_renewal is None or membership.next_renewal.day != 1:
        return None
    for one in reversed(known.decisions):
        began = _began(one)
        if began is None or began.day <= LAST_MONTHLY_DAY:
            continue
        on = next_cycle_start(began, known.policy)
        if on > membership.next_renewal:
            continue
        renewed = "is renewed" if on == membership.next_renewal else "was renewed"
        since = "is the 1st from then on" if on == membership.next_renewal else "has been the 1st since then"
        return Own(
            "info", f"Your cycle of {day(began)} {renewed} on {day(on)}, and your day {since}.", _two(one, on, known)
        )
    return None


def _two(first: DecisionRecord, on: date, known: Known) -> str:
    """What the short first cycle of Plus brought and the one after it: people take them for one that was paid twice."""
    second = (one for one in known.decisions if one.reason == "renewed" and date_in(one.facts.get("cycle_start")) == on)
    brought = [one.facts.get("connects") for one in (first, *second)]
    if first.reason != "upgraded" or len(brought) == 1:
        return ""
    return f"They are two cycles: the first brought {brought[0]} Connects, the second {brought[-1]}."


def _began(one: DecisionRecord) -> date | None:
    """The first day of the cycle that a decision began."""
    if one.reason == "registered" and one.occurred_at is not None:
        return one.occurred_at.date()
    return date_in(one.facts.get("cycle_start")) if one.reason == "upgraded" else None


def _boost(topic: str, known: Known) -> Own | None:
    """The last boosted proposal, and what it cost, where the boost did not come back by itself."""
    own = _of_the_last(topic, known)
    last = next((applied for applied in reversed(known.applied) if applied.boost), None)
    if own is None or last is None or last.boost_returned:
        return own
    return own._replace(beside=not_outbid(last))


def is_about_proposals(topic: str) -> bool:
    """Whether a topic is about proposals, and what came back of them."""
    return topic in {"charged-twice", *_PROPOSALS, *_SUMS}


def rules_of(topic: str) -> frozenset[str]:
    """The rules under which a topic's decisions are taken and what they grant is booked, and their corrections."""
    rules = frozenset(_DECISIONS.get(topic, {})) | _RULES.get(topic, frozenset())
    if any(rule.startswith("membership.") for rule in rules):
        rules |= _MONTHS
    return rules | CORRECTING if rules else rules


_GRANTS: Final = frozenset(rule for rule in REASONS if rule.startswith(("grant.", "adjust")))
_MONTHS: Final = frozenset({"grant.monthly", "grant.upgrade", "membership.upgrade", "membership.renewal"})
_RULES: Final[Mapping[str, frozenset[str]]] = {
    "late": _MONTHS,
    "month-end": _MONTHS | {"grant.registration"},
    "suspension": frozenset({"grant.monthly", "membership.upgrade"}),
    "overdrawn": _GRANTS | _MONTHS,
    "expiry": frozenset({EXPIRE}),
}
"""Rules of topics whose first sentence is not that of one decision."""
_SUMS: Final[Mapping[str, Callable[[Known, bool], Own | None]]] = {
    "refunds": _proposals_together,
    "several": _proposals_together,
    "twin-jobs": _proposals_together,
    "declined": _still_open,
    "silence": _still_open,
    "archived": _still_open,
}
"""Topics whose first sentence adds up proposals; with whether there are earlier ones than those."""
_OTHERWISE: Final[Mapping[str, Callable[[str, Known], Own | None]]] = {
    "suspension": _suspended,
    "overdrawn": _overdrawn,
    "late": _last_monthly,
    "expiry": _expired,
    "month-end": _late_start,
    "boosts": _boost,
}
"""Topics whose first sentence is not that of one decision."""
