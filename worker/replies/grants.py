"""Replies about what came in, and about events that bring no Connects: one function for each reason of a grant."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from worker.replies.outcomes import outcome_of
from worker.replies.reply import Draft, Next
from worker.replies.writing import (
    About,
    Missing,
    Replies,
    agreed,
    are,
    day,
    expiries,
    first_up,
    next_one_comes,
    sentences,
    the,
    they,
)
from worker.words.phrases import connects, counted, money


def _registered(about: About) -> Draft:
    n = about.number("connects")
    member = about.known.member
    then, ahead = next_one_comes(member)
    first = member is not None and member.membership is not None and member.membership.plan == "basic"
    return Draft(
        "yes",
        f"Yes: you got {connects(n)} for registering, on {about.on}.",
        "Every new account gets them once.",
        sentences(_use_by(about, n), then if first else ""),
        numbers={"granted": n},
        ahead=ahead if first else (),
        topics=["new-account", "expiry"],
    )


def _use_by(about: About, n: int) -> str:
    """Until when to use what came in; nothing, where all of it paid for earlier proposals."""
    return f"Use {agreed(n)} by {about.expires_on}." if _is_left(about, n) else ""


def _is_left(about: About, n: int) -> bool:
    return n > -about.change.debt_delta


def _badge_earned(about: About) -> Draft:
    n = about.number("connects")
    return Draft(
        "yes",
        f"Yes: you got {connects(n)} for your {about.text('badge')} badge, on {about.on}.",
        "It brings Connects the first time you earn it.",
        _use_by(about, n),
        numbers={"granted": n},
        topics=["badges"],
    )


def _no_award_for_badge(about: About) -> Draft:
    brings = [(name, n) for name, n in about.known.policy.badges.items() if n]
    which = "; ".join(f"the {name} badge brings {connects(n)}, once" for name, n in brings)
    return Draft(
        "no",
        f"No: the {about.text('badge')} badge of {about.on} brings no Connects.",
        "You keep the badge; only some badges bring Connects.",
        f"{first_up(which)}." if which else "Nothing about it will change that.",
        topics=["badges"],
    )


def _certified(about: About) -> Draft:
    n = about.number("connects")
    return Draft(
        "yes",
        f"Yes: you got {connects(n)} for the certification {about.text('certification_id')}, on {about.on}.",
        "Each skill certification brings Connects once.",
        _use_by(about, n),
        numbers={"granted": n},
        topics=["certifications"],
    )


def _not_a_skill_certification(about: About) -> Draft:
    n = about.number("connects") if about.has("connects") else about.known.policy.certification
    return Draft(
        "no",
        f"No: {about.text('certification_id')} of {about.on} brings no Connects, because it is a learning path.",
        "Only skill certifications bring Connects.",
        f"A skill certification of yours would bring {n}, once for each.",
        topics=["certifications"],
    )


def _interview_won(about: About) -> Draft:
    n, on = about.number("connects"), about.on
    if about.has("cut_to_cap"):
        award, had = about.number("award"), about.number("granted")
        room, ahead = _room(about, "there is room again")
        return Draft(
            "partly",
            f"Partly: you got {n} of {connects(award)} for the interview for {about.job}, on {on}.",
            f"{_limit(about)}, and you already had {had}.",
            room,
            numbers={"granted": n, "award": award, "cap": about.number("cap"), "had": had},
            ahead=ahead,
            topics=["weekly-limit"],
        )
    return Draft(
        "yes",
        f"Yes: you got {connects(n)} for the interview for {about.job}, on {on}.",
        "You won it with a proposal, and the client has hired and paid before.",
        _use_by(about, n),
        numbers={"granted": n},
        topics=["interviews", "weekly-limit"],
    )


def _limit(about: About) -> str:
    return f"Interviews bring at most {about.number('cap')} in any {counted(about.number('days'), 'day')}"


def _room(about: About, words: str) -> tuple[str, list[Next]]:
    """When there is room below the limit again: as soon as the oldest interview of the window is old enough."""
    window = timedelta(days=about.number("days"))
    at = about.decision.occurred_at
    if at is None:
        raise Missing
    won = [when for when in _interviews(about) if at - window < when <= at]
    if not won:
        return "A later interview brings Connects again when the earlier ones are old enough.", []
    free = min(won) + window
    return f"From {free:%H:%M} UTC on {day(free)} {words}.", [Next(free.date(), "limit-frees", 0)]


def _interviews(about: About) -> list[datetime]:
    whose = about.decision.subject.get("freelancer_id")
    return [
        change.occurred_at
        for one in about.known.of_the_person
        for change in one.changes
        if change.rule == "grant.interview" and change.freelancer_id == whose
    ]


def _interview_from_invitation(about: About) -> Draft:
    return Draft(
        "no",
        f"No: the interview for {about.job} of {about.on} brought no Connects, because the client invited you.",
        "Only interviews that you win with a proposal of your own bring Connects.",
        "Answering an invitation is free, so it cost you nothing either.",
        topics=["invitations", "interviews"],
    )


def _client_not_established(about: About) -> Draft:
    hires, spent = about.number("client_hires"), about.number("client_spent_cents")
    lacking = "hired anybody" if hires == 0 else "paid anything" if spent <= 0 else "spent enough"
    return Draft(
        "no",
        f"No: the interview for {about.job} brought no Connects, because the client had not {lacking} yet.",
        f"We count what the client had done by {about.on}: {counted(hires, 'hire')}, {money(spent, None)} spent.",
        sentences(
            "With a client who had hired and paid somebody before, your interview would have brought Connects.",
            _its_proposal(about),
        ),
        topics=["established-client", "courtesy"],
    )


def _its_proposal(about: About) -> str:
    """What became of the proposal that won an interview, if it is undecided."""
    for applied in about.known.applied:
        outcome = outcome_of(applied, about.known)
        if outcome.state == "open":
            n = outcome.open
            return f"The {n} of your proposal for it {are(n)} still undecided, because the job is open."
    return ""


def _weekly_cap(about: About) -> Draft:
    cap, had = about.number("cap"), about.number("granted")
    room, ahead = _room(about, "new interviews bring Connects again")
    return Draft(
        "no",
        f"No: the interview for {about.job} brought no Connects, because you had reached the limit of {cap} in "
        f"{counted(about.number('days'), 'day')}.",
        f"You had {had} from interviews in the time up to {about.on}.",
        sentences(room, "This interview is not paid later by itself."),
        numbers={"granted": 0, "cap": cap, "had": had},
        ahead=ahead,
        topics=["weekly-limit"],
    )


def _purchased(about: About) -> Draft:
    n = about.number("connects")
    return Draft(
        "yes",
        f"Yes: {the(n)} you bought came in on {about.on}.",
        f"{first_up(they(n))} {'stays' if n == 1 else 'stay'} yours on any plan.",
        _use_by(about, n),
        numbers={"granted": n},
        topics=["buying", "expiry"],
        agent_only=[f"purchase {about.text('purchase_id')}"],
    )


def _adjusted(about: About) -> Draft:
    n, balance = about.number("connects"), about.member.balance
    now = f"You have {balance} now."
    agent = [f"by {about.decision.facts.get('actor')}, note {str(about.decision.facts.get('note'))!r}"]
    if n < 0:
        return Draft(
            "info",
            f"Support took {connects(-n)} off on {about.on}.",
            "Every such change has a name and a reason in our books.",
            now,
            numbers={"granted": n, "balance": balance},
            agent_only=agent,
        )
    return Draft(
        "yes",
        f"Yes: support added {connects(n)} on {about.on}.",
        f"You can use {agreed(n)} like all others, until {about.expires_on}." if _is_left(about, n) else "",
        now,
        numbers={"granted": n, "balance": balance},
        topics=["courtesy"],
        agent_only=agent,
    )


def _nothing_to_do(about: About) -> Draft:
    return Draft(
        "nothing-due",
        f"Nothing changed on {about.on}: the amount was 0 Connects.",
        "Your balance is what it was before.",
        numbers={"granted": 0},
    )


def _too_few(about: About) -> Draft:
    n, had = abs(about.number("connects")), about.number("drawable")
    return Draft(
        "no",
        f"No: {connects(n)} were to be taken off on {about.on}, and you had {had}.",
        "Nothing was taken.",
        "Nothing about your balance has changed.",
    )


def _again(what: str, fact: str = "", more: str = "") -> Callable[[About], Draft]:
    """Make the reply to a repeat of something that counts once."""

    def already_granted(about: About) -> Draft:
        n, on = about.number("connects"), about.day("granted_at")
        named = f"{what} {about.text(fact)}" if fact else what
        if n <= 0:
            return Draft(
                "nothing-due",
                f"It counts once: {named} was done on {on}.",
                "It was reported a second time, and that changed nothing.",
                "What you have stays yours.",
            )
        return Draft(
            "no",
            f"No second time: you got {connects(n)} for {named} on {on}.",
            f"It brings Connects once{more}.",
            "What you got stays yours.",
            numbers={"granted": n},
        )

    return already_granted


def _bought_again(about: About) -> Draft:
    n, on = about.number("connects"), about.day("granted_at")
    what = "adjustment" if about.has("adjustment_id") else "purchase"
    if n < 0:
        headline = f"It counts once: support took {connects(-n)} off on {on}."
    else:
        headline = f"It counts once: {the(n)} of this {what} came in on {on}."
    return Draft(
        "nothing-due",
        headline,
        f"The same {what} was reported to us twice.",
        "The second report changed nothing for you.",
        numbers={"granted": n},
        agent_only=[f"{what} {about.text(f'{what}_id')}"],
    )


# What expired.


def _lot_expired(about: About) -> Draft:
    n = about.number("connects")
    member = about.known.member
    then = "Nothing else of yours is waiting to expire."
    ahead = [] if member is None else expiries(member)[:1]
    for first in ahead:
        count = -first.connects
        then = f"Next to expire: {count} on {day(first.on)}, unless you use {agreed(count)} first."
    return Draft(
        "no",
        f"No: {connects(n)} of yours expired on {about.day('expires_at')}.",
        f"You got {agreed(n)} on {about.day('issued_at')}, and Connects that are not used expire after one calendar "
        "year.",
        f"{then} Nothing brings back {'the one' if n == 1 else 'those'} that expired.",
        numbers={"expired": n},
        ahead=ahead,
        topics=["expiry", "rollover", "order"],
    )


REPLIES: Final[Replies] = {
    ("grant.registration", "registered"): _registered,
    ("grant.registration", "nothing-to-do"): _nothing_to_do,
    ("grant.registration", "already-granted"): _again("registering"),
    ("grant.badge", "badge-earned"): _badge_earned,
    ("grant.badge", "no-award-for-badge"): _no_award_for_badge,
    ("grant.badge", "already-granted"): _again("the badge", "badge", ", even if you lose the badge and earn it again"),
    ("grant.certification", "certified"): _certified,
    ("grant.certification", "not-a-skill-certification"): _not_a_skill_certification,
    ("grant.certification", "nothing-to-do"): _nothing_to_do,
    ("grant.certification", "already-granted"): _again("the certification", "certification_id"),
    ("grant.interview", "interview-won"): _interview_won,
    ("grant.interview", "interview-from-invitation"): _interview_from_invitation,
    ("grant.interview", "client-not-established"): _client_not_established,
    ("grant.interview", "weekly-cap"): _weekly_cap,
    ("grant.interview", "already-granted"): _again("the interview for", "job_id"),
    ("grant.purchase", "purchased"): _purchased,
    ("grant.purchase", "nothing-to-do"): _nothing_to_do,
    ("grant.purchase", "already-granted"): _bought_again,
    ("adjust", "adjusted"): _adjusted,
    ("adjust", "nothing-to-do"): _nothing_to_do,
    ("adjust", "insufficient-balance"): _too_few,
    ("adjust", "already-granted"): _bought_again,
    ("expire.lot", "lot-expired"): _lot_expired,
}
