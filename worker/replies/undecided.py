"""Replies about Connects on a job that is open, or whose end is known and not decided yet."""

from collections.abc import Iterator

from worker.replies.known import Applied, Closing, Known
from worker.replies.outcomes import RETURNS, WAS, Outcome, boost_back_on
from worker.replies.reply import Draft, Next
from worker.replies.writing import Missing, are, come, day, not_outbid, paid_in_all, span, the
from worker.words.phrases import connects


def still_open(applied: Applied, outcome: Outcome, known: Known) -> Draft:
    """Some of it, or all, is undecided: the job is open."""
    n, spent_on = outcome.open, day(applied.spent_at)
    boosted = bool(applied.boost and not applied.boost_returned)
    repeats = [one for one in known.about(applied.proposal_id) if one.reason == "already-spent"]
    headline, verdict = (
        f"Not yet: {the(n)} for {applied.job_id} {are(n)} still undecided, because the job is open.",
        "not-yet",
    )
    why = f"You applied on {spent_on}. Only the end of the job decides, and there is no time limit:"
    if outcome.back:
        verdict = "partly"
        why = f"{paid_in_all(applied)}. Only the end of the job decides, and there is no time limit:"
        headline = (
            f"Partly: the {outcome.back} of your boost came back on {boost_back_on(applied, known)}; the {n} for the "
            f"proposal {are(n)} still undecided."
        )
    elif repeats:
        headline = f"You paid once: {connects(applied.spent)} on {spent_on}{_in_parts(applied)}."
        why = (
            f"It was reported a second time, and that took nothing. The {n} {are(n)} still undecided, because "
            f"{applied.job_id} is open:"
        )
    elif boosted:
        why = not_outbid(applied)
    return Draft(
        "not-yet" if verdict == "not-yet" else "partly",
        headline,
        why,
        endings=list(_endings(n, applied.boost if boosted else 0)),
        ahead=_possible(n, applied.boost if boosted else 0),
        topics=["boosts", "silence", "declined"] if boosted or outcome.back else ["silence", "declined", "archived"],
    )


def _in_parts(applied: Applied) -> str:
    return f", {applied.base} for the proposal and {applied.boost} for its boost" if applied.boost else ""


def _endings(n: int, boost: int) -> Iterator[str]:
    whole = f"the {n} {come(n)} back" if n == 1 else f"all {n} come back"
    if boost:
        outbid = "If you are outbid before the client does anything with your proposal"
        yield f"{outbid}, the {boost} of the boost {come(boost)} back."
    yield f"If the client closes it without hiring anyone, {whole}."
    yield f"If the marketplace removes it with nobody hired, {whole}."
    yield "If somebody is hired first, it expires, or you withdraw first, none do."


def _possible(n: int, boost: int) -> list[Next]:
    outbid = [Next(None, "outbid", boost)] if boost else []
    return [
        *outbid,
        Next(None, "client-closes", n),
        Next(None, "removed", n),
        Next(None, "hired", 0),
        Next(None, "job-expires", 0),
        Next(None, "withdrawn", 0),
    ]


def being_decided(applied: Applied, outcome: Outcome, known: Known) -> Draft:
    """The end of the job is known, and the proposal is decided in a moment."""
    closing = outcome.closing
    if closing is None:
        raise Missing
    n, brings = outcome.open, _brings(applied, closing, outcome.open)
    return Draft(
        "not-yet",
        f"Not yet: {applied.job_id} {WAS.get(closing.closure, 'was closed')} on {day(closing.closed_at)}, and your "
        f"{connects(n)} {are(n)} decided within {span(known.grace_seconds)} or so.",
        f"You applied on {day(applied.spent_at)}.",
        brings[1],
        ahead=[Next(closing.closed_at.date(), "settlement", brings[0])],
        topics=["refund-time", "refunds"],
    )


def _brings(applied: Applied, closing: Closing, n: int) -> tuple[int, str]:
    """What a closing brings if nothing else comes to be known, in Connects and in words."""
    if applied.withdrawn_at is not None and applied.withdrawn_at < closing.closed_at:
        return 0, f"You withdrew your proposal on {day(applied.withdrawn_at)}, and that returns nothing."
    if closing.closure not in RETURNS:
        return 0, "A job that expires returns nothing."
    hired = next((one for one in applied.hires if one.hired_at <= closing.closed_at), None)
    if hired is not None:
        return 0, f"Somebody was hired on {day(hired.hired_at)}, so nothing comes back."
    return n, f"You should get {'it' if n == 1 else f'all {n}'} back."
