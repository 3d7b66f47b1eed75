"""Replies about choices of a plan, suspensions and promotion codes."""

from typing import Final

from worker.domain.model import Membership
from worker.replies.monthly import your_scope
from worker.replies.reply import Draft, Next
from worker.replies.writing import About, Missing, Replies, date_in, day, first_up, next_one_comes, ordinal, sentences
from worker.words.phrases import connects, money

_WAITS: Final = {
    "membership-plan-chosen": "your choice of a plan",
    "promo-code-entered": "your code",
    "membership-charge-settled": "the answer to your charge",
    "earnings-balance-updated": "your earnings",
    "account-suspended": "the suspension",
    "account-reinstated": "the end of the suspension",
}


def _membership(about: About) -> Membership:
    membership = about.member.membership
    if membership is None:
        raise Missing
    return membership


def _ends_on(about: About) -> str:
    return about.day("next_renewal")


def _is_over(about: About) -> bool:
    """Whether the cycle that the decision was about is over by now."""
    on, member = date_in(about.decision.facts.get("next_renewal")), about.known.member
    if on is None or member is None or member.membership is None or member.membership.cycle_start is None:
        return False
    return member.membership.cycle_start >= on


def _began(about: About) -> Draft:
    then, ahead = next_one_comes(about.known.member)
    return Draft(
        "yes",
        f"Yes: your membership began on {about.day('cycle_start')}, on Basic.",
        "That day itself brings you no monthly Connects.",
        then,
        ahead=ahead,
        topics=["monthly-day", "free-plan"],
    )


def _downgrade_scheduled(about: About) -> Draft:
    chosen_on, policy = about.day("chosen_at"), about.known.policy
    if about.has("upgrade"):
        return Draft(
            "not-yet",
            f"Not yet: you chose Basic on {chosen_on}, while the charge for Plus is not paid yet.",
            "If it is paid, you are on Plus for one cycle.",
            "After that cycle you are on Basic again and are not charged.",
            ahead=[Next(None, "charge-answer", 0)],
            topics=["leaving-plus"],
        )
    on, basic = _ends_on(about), policy.monthly_basic
    plus = policy.monthly_plus_paid + policy.monthly_plus_free
    leave = f"you left Plus on {on}" if _is_over(about) else f"you leave Plus on {on}"
    then, ahead = next_one_comes(about.known.member) if _is_over(about) else ("", [])
    ahead = ahead or [Next(date_in(about.decision.facts["next_renewal"]), "downgrade", 0)]
    gets = f"From {on} you get {connects(basic)} each cycle, the first on that day."
    stays = f"Your {connects(about.member.balance)} stay."
    if _is_too_late(about):
        began = about.day("cycle_start")
        return Draft(
            "yes",
            f"Yes, but one cycle later: {leave}.",
            f"You chose Basic on {chosen_on}. The renewal of {began} had begun at 00:00 UTC that day, so it stands: "
            f"{money(policy.plus_price_cents, policy.currency)} for {connects(plus)}.",
            sentences(then or f"From {on} you get {connects(basic)} each cycle and are not charged.", stays),
            ahead=ahead,
            topics=["leaving-plus", "billing-date"],
        )
    kept, again = ("kept", "were not charged after that") if _is_over(about) else ("keep", "are not charged again")
    return Draft(
        "yes",
        f"Yes: {leave}, and you {again}.",
        f"You chose Basic on {chosen_on}, before the renewal, so you {kept} Plus until then.",
        sentences(then or gets, stays, _same_day(about)),
        ahead=ahead,
        topics=["leaving-plus", "billing-date"],
    )


def _is_too_late(about: About) -> bool:
    chosen, began = (date_in(about.decision.facts.get(name)) for name in ("chosen_at", "cycle_start"))
    return chosen is not None and began is not None and chosen <= began


def _same_day(about: About) -> str:
    on = date_in(about.decision.facts.get("next_renewal"))
    return f"Your cycle day stays the {ordinal(on.day)}." if on is not None else ""


def _downgrade_cancelled(about: About) -> Draft:
    chosen_on = about.day("downgrade_chosen_at")
    if about.has("upgrade"):
        return Draft(
            "yes",
            f"Yes: Plus, once it is paid, goes on after its first cycle; you had chosen Basic on {chosen_on}.",
            "You chose Plus again, so this only cancels that.",
            topics=["billing-date"],
        )
    on, next_on = date_in(about.decision.facts.get("next_renewal")), _ends_on(about)
    return Draft(
        "yes",
        f"Yes: Plus goes on, and your renewal day stays the {ordinal(on.day if on is not None else 1)}.",
        f"You chose Plus again in the same cycle, so this only cancels the downgrade of {chosen_on}.",
        f"The next renewal {'was' if _is_over(about) else 'is'} on {next_on}. For another day, choose Basic before it "
        "and Plus again on that day or later.",
        ahead=[Next(on, "renewal", about.known.policy.monthly_plus_paid + about.known.policy.monthly_plus_free)],
        topics=["billing-date"],
    )


def _downgraded(about: About) -> Draft:
    on = about.day("cycle_start")
    if about.decision.facts.get("why") == "suspended":
        why = f"{first_up(your_scope(about.decision.facts.get('scope')))} was suspended on {about.day('suspended_at')}."
    else:
        why = f"You chose Basic on {about.day('downgrade_chosen_at')}."
    then, ahead = next_one_comes(about.known.member)
    again = "when the suspension is lifted" if about.has("suspended") else "at any time"
    return Draft(
        "yes",
        f"Yes: Plus ended with its cycle on {on}, and nothing is charged from then on.",
        why,
        sentences(f"You can choose Plus again {again}.", then),
        ahead=ahead,
        topics=["leaving-plus", "suspension"] if about.decision.facts.get("why") == "suspended" else ["leaving-plus"],
    )


def _already_on_plan(about: About) -> Draft:
    facts = about.decision.facts
    then, ahead = next_one_comes(about.known.member)
    if facts.get("chosen") == "plus" and facts.get("upgrade") is not None:
        headline = f"Nothing changed on {about.on}: you had chosen Plus before, and its charge is not answered yet."
        return Draft("nothing-due", headline, "You are not charged twice.", topics=["late"])
    if facts.get("chosen") == "basic" and facts.get("downgrade_chosen_at") is not None:
        ends = (
            f"Plus ends on {_ends_on(about)}."
            if facts.get("upgrade") is None
            else "If Plus is paid, it ends after one cycle."
        )
        headline = f"Nothing changed on {about.on}: you had chosen Basic on {about.day('downgrade_chosen_at')} already."
        return Draft("nothing-due", headline, ends, topics=["leaving-plus"])
    plan = about.text("plan").capitalize()
    return Draft(
        "nothing-due",
        f"Nothing changed on {about.on}: you were on {plan} already.",
        "You were not charged for it.",
        then,
        ahead=ahead,
        topics=["monthly-day"],
    )


# Suspensions.


def _suspended(about: About) -> Draft:
    what, since = your_scope(about.decision.facts.get("scope")), about.day("at")
    if about.decision.outcome == "recorded":
        return Draft(
            "nothing-due",
            f"Nothing changed: {what} was reported as suspended on {since}.",
            "We knew that already, or the suspension was lifted after it, so nothing about your plan changed.",
            topics=["suspension"],
        )
    plus = _plus_ends(about)
    later = _ended_since(about, "suspended")
    if about.decision.facts.get("scope") == "account":
        return Draft(
            "info",
            f"Your account was suspended on {since}, so a cycle that begins meanwhile brings no monthly Connects.",
            plus,
            sentences("Refunds, rewards and the Connects you have go on as before.", later),
            topics=["suspension"],
        )
    return Draft(
        "info",
        f"Your billing method was suspended on {since}.",
        plus or "Nothing changes for your Connects.",
        later,
        topics=["suspension"],
    )


def _ended_since(about: About, _what: str) -> str:
    """Say when the suspension was lifted, if it was."""
    member = about.known.member
    at, scope = date_in(about.decision.facts.get("at")), about.decision.facts.get("scope")
    if member is None or member.membership is None or at is None:
        return ""
    for fact in member.membership.suspensions:
        if fact.scope == scope and not fact.suspended and fact.at.date() >= at:
            return f"It was lifted on {day(fact.at)}."
    return ""


def _plus_ends(about: About) -> str:
    if about.decision.facts.get("plan") != "plus":
        return ""
    ends = f"Plus ends on {_ends_on(about)} and is not charged again"
    if about.has("downgrade_chosen_at"):
        return f"{ends}, because you chose Basic on {about.day('downgrade_chosen_at')}."
    return f"{ends}, unless the suspension is lifted before."


def _reinstated(about: About) -> Draft:
    what, at = your_scope(about.decision.facts.get("scope")), about.day("at")
    then, ahead = next_one_comes(about.known.member)
    if about.decision.outcome == "recorded":
        return Draft(
            "nothing-due",
            f"Nothing changed: the end of a suspension of {what} was reported on {at}.",
            "There was none, or a new one has begun since, so nothing about your plan changed.",
            then,
            ahead=ahead,
            topics=["suspension"],
        )
    still = about.decision.facts.get("still_suspended")
    missed = [one for one in about.known.of_the_person if one.outcome == "withheld" and one.seq < about.decision.seq]
    cost = ""
    if missed and about.decision.facts.get("scope") == "account":
        count, on = _whole(missed[-1].facts.get("connects")), day(missed[-1].facts.get("cycle_start"))
        cost = f"It cost you the {connects(count)} of {on}, which are not made up later."
    plus = "Plus goes on." if about.decision.facts.get("plan") == "plus" and still is None else ""
    if about.decision.facts.get("plan") == "plus" and about.has("downgrade_chosen_at"):
        plus = f"Plus ends on {_ends_on(about)}, because you chose Basic on {about.day('downgrade_chosen_at')}."
    return Draft(
        "yes",
        f"Yes: {what} is no longer suspended, since {at}.",
        sentences(f"{first_up(your_scope(still))} still is." if still else "", cost, plus),
        then,
        ahead=ahead,
        topics=["suspension"],
    )


def _whole(value: object) -> int:
    if type(value) is not int:
        raise Missing
    return value


def _awaits(about: About) -> Draft:
    what, on = _WAITS.get(str(about.decision.facts.get("waits")), "this"), about.day("next_renewal")
    return Draft(
        "not-yet",
        f"Not yet: {what} counts right after your cycle start of {on}.",
        f"It is dated {about.day('at')}, and the cycle of your plan that begins before it comes first.",
        "You do not have to do anything.",
        ahead=[Next(date_in(about.decision.facts["next_renewal"]), "monthly", 0)],
        topics=["monthly-day"],
    )


def _earnings(about: About) -> Draft:
    amount = about.amount("available_cents")
    return Draft(
        "info",
        f"Your earnings balance was {amount} on {about.day('at')}.",
        "It changes nothing about your Connects by itself.",
        "If it covers the whole price, your next charge is taken from it.",
        topics=["split-payment"],
    )


# Promotion codes.


def _promo_accepted(about: About) -> Draft:
    charges = about.number("charges") if about.has("charges") else 1
    which = "the next charge" if charges == 1 else f"the next {charges} charges"
    off = f"{about.number('percent_off')}%" if about.decision.facts.get("percent_off") else about.amount("cents_off")
    return Draft(
        "yes",
        f"Yes: {about.text('promo_code')}, entered on {about.on}, takes {off} off {which}.",
        "Each code counts once for each person.",
        "You do not have to enter it again.",
        topics=["promo"],
    )


def _promo_unknown(about: About) -> Draft:
    return Draft(
        "no",
        f"No: there is no code {about.text('promo_code')}; you gave it on {about.on}.",
        _nothing_ordered(about),
        "With a code that exists, you can try again.",
        topics=["promo"],
    )


def _promo_expired(about: About) -> Draft:
    return Draft(
        "no",
        f"No: {about.text('promo_code')} counts from {about.day('valid_from')} to {about.day('valid_until')} only.",
        sentences(f"You gave it on {about.on}.", _nothing_ordered(about)),
        "Nothing about this code will change that.",
        topics=["promo"],
    )


def _promo_used(about: About) -> Draft:
    return Draft(
        "no",
        f"No: you used {about.text('promo_code')} before {about.on}, and each code counts once.",
        _nothing_ordered(about),
        "Nothing about this code will change that.",
        topics=["promo"],
    )


def _nothing_ordered(about: About) -> str:
    return "Your plan did not change, and nothing was charged." if about.has("chosen") else "Your plan did not change."


_AWAITS: Final = ("downgrade", "upgrade", "suspension", "charge", "earnings", "promo")
_CODES: Final[Replies] = {
    (rule, reason): reply
    for rule in ("membership.upgrade", "membership.promo")
    for reason, reply in (
        ("promo-code-unknown", _promo_unknown),
        ("promo-code-expired", _promo_expired),
        ("promo-code-already-used", _promo_used),
    )
}
REPLIES: Final[Replies] = {
    ("membership.began", "membership-began"): _began,
    ("membership.downgrade", "downgrade-scheduled"): _downgrade_scheduled,
    ("membership.downgrade", "downgrade-cancelled"): _downgrade_cancelled,
    ("membership.downgrade", "downgraded"): _downgraded,
    ("membership.downgrade", "already-on-plan"): _already_on_plan,
    ("membership.upgrade", "already-on-plan"): _already_on_plan,
    ("membership.suspension", "suspended"): _suspended,
    ("membership.suspension", "reinstated"): _reinstated,
    **{(f"membership.{rule}", "awaits-cycle-start"): _awaits for rule in _AWAITS},
    ("membership.earnings", "earnings-noted"): _earnings,
    ("membership.promo", "promo-accepted"): _promo_accepted,
    **_CODES,
}
