"""Replies about a withdrawal, an outbid boost, a hire or a closing, asked about by its own event."""

from dataclasses import replace
from typing import Final

from worker.replies.known import Applied, Known
from worker.replies.outcomes import counted_once, outcome_of, returned_of
from worker.replies.proposals import about_proposal
from worker.replies.reply import Draft, Next
from worker.replies.several import about_job
from worker.replies.writing import About, Missing, Replies, are, come, day, what_it_cost
from worker.words.phrases import connects


def _applied(about: About) -> Applied | None:
    wanted = about.decision.subject.get("proposal_id")
    return next((one for one in about.known.applied if one.proposal_id == wanted), None)


def _the_applied(about: About) -> Applied:
    found = _applied(about)
    if found is None:
        raise Missing
    return found


def _settled(about: About) -> Draft:
    """What a closing brought a proposal."""
    return about_proposal(_the_applied(about), about.known)


def _of_the_job(about: About) -> Draft:
    return about_job(replace(about.known, key=about.decision.subject.get("job_id", about.known.key)))


def _withdrawn(about: About) -> Draft:
    applied, on = _applied(about), about.day("withdrawn_at")
    if applied is None:
        return Draft(
            "no",
            f"No: withdrawing a proposal, as you did on {on}, returns no Connects.",
            "A withdrawal never does, whatever the reason.",
            "That stays so, however the job ends. The proposal itself is not on record here; a new one costs its own "
            "Connects.",
            topics=["withdrawn"],
        )
    outcome = outcome_of(applied, about.known)
    if outcome.state in {"back", "free"}:
        return about_proposal(applied, about.known)
    kept, job = outcome.kept or outcome.open, applied.job_id
    return Draft(
        "no",
        f"No: withdrawing your proposal for {job} on {on} does not return its {connects(kept)}.",
        f"A withdrawal never does, whatever the reason. {what_it_cost(applied)}",
        "That stays so, however the job ends. A new proposal costs its own Connects and is judged by itself.",
        numbers={**outcome.numbers, "base": applied.base, "boost": applied.boost},
        topics=["withdrawn", "refunds"],
    )


def _withdrawn_later(about: About) -> Draft:
    applied = _the_applied(about)
    came = returned_of(applied, about.known)
    if not came:
        raise Missing
    outcome = outcome_of(applied, about.known)
    return Draft(
        "yes",
        f"Yes: your {connects(outcome.back)} for {applied.job_id} came back on {day(came[-1].change.occurred_at)}, and "
        f"{'it stays' if outcome.back == 1 else 'they stay'}.",
        f"The withdrawal of {about.day('withdrawn_at')} reached us after the refund.",
        numbers={**outcome.numbers, "base": applied.base, "boost": applied.boost},
        topics=["withdrawn"],
    )


def _outbid(about: About) -> Draft:
    applied = _the_applied(about)
    boost, on = applied.boost, about.on
    rest, ahead = _the_base(applied, about.known)
    outcome = outcome_of(applied, about.known)
    return Draft(
        "yes",
        f"Yes: the {connects(boost)} of your boost came back on {on}.",
        f"You were outbid before the client did anything with your proposal for {applied.job_id}, which had cost "
        f"{applied.spent} in all.",
        rest,
        numbers={**outcome.numbers, "base": applied.base, "boost": boost},
        ahead=ahead,
        topics=["boosts"],
    )


def _the_base(applied: Applied, known: Known) -> tuple[str, list[Next]]:
    """What became of the rest of a proposal whose boost came back."""
    base, outcome = applied.base, outcome_of(applied, known)
    if not base:
        return "The proposal itself cost nothing.", []
    if outcome.state == "back":
        return f"The {base} for the proposal itself came back as well.", []
    if outcome.state == "kept":
        return f"The {base} for the proposal itself did not come back; ask about the proposal to see why.", []
    words = (
        f"The {base} for the proposal itself {are(base)} still undecided: {'it' if base == 1 else 'they'} {come(base)} "
        "back if the client closes the job without hiring anyone, or the marketplace removes it with nobody hired."
    )
    return words, [Next(None, "client-closes", base), Next(None, "removed", base)]


def _no_boost(about: About) -> Draft:
    applied = _applied(about)
    paid = f"You paid {applied.base} for the proposal and 0 for a boost." if applied is not None else ""
    job = about.decision.subject.get("job_id", "the job")
    return Draft(
        "nothing-due",
        f"Nothing to return for the outbid of {about.on}: your proposal for {job} had no boost.",
        paid,
        numbers={"base": applied.base, "boost": 0} if applied is not None else {},
        topics=["boosts"],
    )


def _already_back(about: About) -> Draft:
    applied = _applied(about)
    if applied is not None and (came := returned_of(applied, about.known)):
        n, on = about.number("connects"), day(came[-1].change.occurred_at)
        return Draft(
            "nothing-due",
            f"Nothing more to return: your {connects(n)} for {applied.job_id} came back on {on}.",
            "A refund is made once, however often the job is closed.",
            numbers=counted_once(n, applied, about.known),
            topics=["reopened"],
        )
    return Draft(
        "nothing-due",
        f"Nothing more to return: your {connects(about.number('connects'))} came back before {about.on}.",
        "A refund is made once, however often the job is closed.",
        numbers={},
        topics=["reopened"],
    )


def _unknown_proposal(about: About) -> Draft:
    return Draft(
        "not-yet",
        f"Not yet: you were outbid on {about.on}, but your proposal has not reached us.",
        "If it had a boost, that comes back as soon as your proposal reaches us.",
        ahead=[Next(None, "outbid", 0)],
        topics=["boosts"],
    )


def _mismatch(about: About) -> Draft:
    applied = _applied(about)
    return Draft(
        "nothing-due",
        f"Nothing changed on {about.on}: what was reported about this proposal does not fit your account or the job.",
        "Nothing of yours was taken or returned because of it.",
        agent_only=[about.decision.explanation, *([] if applied is None else [f"it is of {applied.freelancer_id}"])],
    )


def _late_hire(about: About) -> Draft:
    return _of_the_job(about)


def _hire(about: About) -> Draft:
    on = about.day("hired_at")
    if about.known.applied:
        return _of_the_job(about)
    return Draft(
        "info",
        f"Somebody was hired for {about.job} on {on}.",
        "A job that is closed after a hire returns nothing to anybody who applied to it.",
        "Nobody has spent Connects on it, as far as we know. If you sent a proposal for it, it took none, or it has "
        "not reached us.",
    )


def _closing(about: About) -> Draft:
    if about.known.applied:
        return _of_the_job(about)
    return Draft(
        "nothing-due",
        f"Nothing to return: nobody has spent Connects on {about.job}, which ended on {about.day('closed_at')}.",
        "A proposal that reaches us later is decided then.",
        "If you sent one, it took none, or it has not reached us.",
    )


_JOB: Final = "refund.job-closed-without-hire"
_OUTBID: Final = "refund.boost-outbid"
REPLIES: Final[Replies] = {
    (_JOB, "closed-without-hire"): _settled,
    (_JOB, "removed-by-marketplace"): _settled,
    (_JOB, "somebody-was-hired"): _settled,
    (_JOB, "job-expired"): _settled,
    (_JOB, "proposal-withdrawn"): _settled,
    (_JOB, "already-refunded"): _already_back,
    (_JOB, "free-from-invitation"): _settled,
    (_JOB, "cost-nothing"): _settled,
    (_JOB, "settlement-pending"): _closing,
    (_JOB, "already-closed"): _closing,
    (_JOB, "hire-noted"): _hire,
    (_JOB, "hire-after-settlement"): _late_hire,
    ("refund.clawed-back", "hire-after-settlement"): _late_hire,
    ("correct.settle", "settled-anew"): _settled,
    ("correct.settle", "taken-back"): _settled,
    ("correct.settle", "nothing-to-do"): _settled,
    (_JOB, "withdrawal-is-not-refunded"): _withdrawn,
    (_JOB, "withdrawal-after-settlement"): _withdrawn_later,
    (_JOB, "proposal-mismatch"): _mismatch,
    (_OUTBID, "boost-outbid"): _outbid,
    (_OUTBID, "no-boost"): _no_boost,
    (_OUTBID, "already-refunded"): _already_back,
    (_OUTBID, "unknown-proposal"): _unknown_proposal,
    (_OUTBID, "proposal-mismatch"): _mismatch,
}
