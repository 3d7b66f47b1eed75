"""Several proposals together: of a job, which an agent reads, and of a person. Numbers add up, and each has a line."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from worker.replies.known import Applied, Known
from worker.replies.outcomes import Outcome, amendments_of, outcome_of, returned_of
from worker.replies.proposals import about_proposal
from worker.replies.reply import Draft, Next, Verdict, is_short
from worker.replies.writing import NOT_OUTBID, Missing, are, come, day, expiries, in_a_row, next_grant, sentences
from worker.words.phrases import connects, counted

MOST_LISTED: Final = 8
_MOST_DAYS: Final = 2
"""Days on which something expires that a reply about proposals names."""
_STATES: Final[Mapping[str, str]] = {
    "open": "undecided",
    "deciding": "decided in a moment",
    "kept": "not back",
    "back": "back",
    "free": "free",
}
_ORDER: Final = {"open": 0, "deciding": 0, "kept": 1, "back": 2, "free": 3}
_CLOSED: Final = {
    "closed-by-client": "the client closed it without hiring anyone",
    "removed-by-marketplace": "the marketplace removed it with nobody hired",
}


class One(NamedTuple):
    """A proposal, and what became of it."""

    applied: Applied
    outcome: Outcome


def outcomes(known: Known) -> list[One]:
    """What became of each proposal, in the order in which they were sent."""
    return [One(applied, outcome_of(applied, known)) for applied in known.applied]


def sums(ones: Sequence[One]) -> dict[str, int]:
    """The sums over proposals: `spent` = `back` + `kept` + `open`."""
    back, kept, still = (sum(getattr(one.outcome, name) for one in ones) for name in ("back", "kept", "open"))
    return {"proposals": len(ones), "spent": back + kept + still, "back": back, "kept": kept, "open": still}


def in_one_sentence(paid: Sequence[One], whose: str, noun: str) -> tuple[Verdict, str, str]:
    """The verdict on several proposals of a person, the sentence that adds them up, and when they were sent.

    `whose` says which of theirs they are (your, your last), `noun` what they are (proposal, open proposal).
    """
    numbers = sums(paid)
    return _verdict(numbers), _headline(paid, numbers, whose, noun), f"You sent them {_between(paid)}."


# A job.


def about_job(known: Known) -> Draft:
    """The answer to: who got their Connects back? One person is told as if it had been asked about their proposal."""
    ones = outcomes(known)
    if not ones:
        return _nobody_applied(known)
    if len(ones) == 1:
        return about_proposal(ones[0].applied, known)
    numbers = sums(ones)
    draft = _of_a_job(known, ones, numbers)
    return draft._replace(numbers=numbers, paste=_is_one_persons(ones), agent_only=list(_for_the_agent(ones, known)))


def _is_one_persons(ones: Sequence[One]) -> bool:
    """Whether all proposals of a job are of one person, who may be told then."""
    return len({one.applied.freelancer_id for one in ones}) == 1


def _nobody_applied(known: Known) -> Draft:
    ended = [one for one in known.decisions if one.reason in {"settlement-pending", "hire-noted"}]
    what = f" We know of it since {day(ended[0].occurred_at)}." if ended and ended[0].occurred_at is not None else ""
    return Draft(
        "nothing-due",
        f"Nothing to return: nobody has spent Connects on {known.key}.",
        f"No proposal that took Connects is on record for it.{what}",
        "If you sent one, it took none, or it has not reached us.",
    )


def _of_a_job(known: Known, ones: Sequence[One], numbers: dict[str, int]) -> Draft:
    job, spent, count = ones[0].applied.job_id, numbers["spent"], counted(len(ones), "proposal")
    whose = "your" if _is_one_persons(ones) else "the"
    on_them = f"{connects(spent)} on {whose} {count} for {job}"
    if not spent:
        return Draft(
            "nothing-due", f"Nothing to return: {whose} {count} for {job} cost 0 Connects.", _applied_between(ones)
        )
    reasons = {one.outcome.reason for one in ones if one.outcome.kept}
    if numbers["back"] == spent:
        last = _last_return(known, ones)
        return Draft(
            "yes",
            f"All {on_them} came back on {day(last[0])}.",
            _why_back(last[1]),
            "Nobody had to ask for it or prove anything.",
        )
    if numbers["open"] == spent:
        return Draft(
            "not-yet",
            f"Not yet: the {on_them} are still undecided, because {_why_open(ones)}.",
            f"{_applied_between(ones)} Only the end of the job decides, and there is no time limit.",
            "All come back if the client closes it without hiring anyone, or the marketplace removes it with nobody "
            "hired.",
            ahead=[Next(None, "client-closes", spent), Next(None, "removed", spent)],
        )
    judged_alone = "Each proposal is judged by itself; ask about one of them to see why."
    if numbers["kept"] == spent:
        because, then = _why_none(ones[0], reasons) if len(reasons) == 1 else Why("", judged_alone)
        return Draft("no", f"None of the {on_them} came back{because}.", _applied_between(ones), then)
    return Draft("partly", f"Partly: of the {on_them}, {_parts(numbers)}.", _applied_between(ones), judged_alone)


class Why(NamedTuple):
    """The rest of a sentence, and what comes next."""

    because: str
    then: str


def _why_none(one: One, reasons: set[str]) -> Why:
    decision, applied = one.outcome.decision, one.applied
    closed = None if decision is None else decision.facts.get("closed_at")
    if reasons == {"job-expired"}:
        return Why(
            f", because the job expired on {day(closed)}",
            "They still come back if the job is reopened and then closed by the client, or removed by the marketplace, "
            "with nobody hired.",
        )
    if reasons == {"somebody-was-hired"}:
        hired = applied.hires[0].hired_at if applied.hires else None
        if decision is not None and decision.facts.get("hired_at") is not None:
            return Why(
                f", because somebody was hired on {day(decision.facts['hired_at'])}",
                "A hire keeps the Connects of everybody who applied, interviewed or not. Nothing about this job will "
                "change that.",
            )
        return Why(f", and none will: somebody was hired on {day(hired)}", "Nothing about this job will change that.")
    if reasons == {"proposal-withdrawn"}:
        return Why(", because every proposal was withdrawn", "Nothing about this job will change that.")
    return Why("", "Nothing about this job will change that.")


def _why_open(ones: Sequence[One]) -> str:
    closing = ones[0].outcome.closing
    if closing is not None:
        return f"the job ended on {day(closing.closed_at)} and each proposal is decided now"
    return "the job is open"


def _why_back(reason: str) -> str:
    if reason == "removed-by-marketplace":
        return "The marketplace removed the job, and nobody had been hired."
    return "The client closed the job without hiring anyone."


def _last_return(known: Known, ones: Sequence[One]) -> tuple[datetime, str]:
    returned = [back for one in ones for back in returned_of(one.applied, known)]
    if not returned:
        raise Missing
    last = max(returned, key=lambda back: back.decision.seq)
    return last.change.occurred_at, last.decision.reason


def _applied_between(ones: Sequence[One]) -> str:
    return f"The proposals were sent {_between(ones)}."


def _between(ones: Sequence[One]) -> str:
    first, last = (day(end(one.applied.spent_at for one in ones)) for end in (min, max))
    return f"on {first}" if first == last else f"between {first} and {last}"


def _for_the_agent(ones: Sequence[One], known: Known) -> Iterator[str]:
    yield ", ".join(_each(one) for one in ones[:MOST_LISTED]) + (
        f", and {len(ones) - MOST_LISTED} more" if len(ones) > MOST_LISTED else ""
    )
    yield from corrected(known)
    yield f"a reply to one of them: connects explain --proposal {ones[-1].applied.proposal_id}"


def corrected(known: Known) -> Iterator[str]:
    """Which amounts were corrected, for the agent; the last of them."""
    found = [one for one in amendments_of(known.decisions) if one.changes]
    for one in found[-MOST_LISTED:]:
        proposal_id = one.subject.get("proposal_id")
        yield one.explanation if proposal_id is None else f"proposal {proposal_id}: {one.explanation}"
    if (more := len(found) - MOST_LISTED) > 0:
        yield f"{counted(more, 'earlier correction')}: --details shows them"


def _each(one: One) -> str:
    hired = any(hire.freelancer_id == one.applied.freelancer_id for hire in one.applied.hires)
    became = {"back": "back", "kept": "not back", "free": "free"}.get(one.outcome.state, "open")
    was_hired = " (was hired)" if hired else ""
    return f"{one.applied.freelancer_id} {one.applied.spent}{was_hired}, {became}, proposal {one.applied.proposal_id}"


# A person.


def of_a_person(known: Known) -> Draft:
    """The answer to: where are my Connects? For somebody who sent proposals that cost some."""
    paid = [one for one in outcomes(known) if one.applied.spent]
    numbers, member = sums(paid), known.member
    if member is None or not paid:
        raise Missing
    coming = next_grant(member)
    ahead = [*([] if coming is None else [coming]), *expiries(member)[:_MOST_DAYS], *possible(paid)]
    if len(paid) == 1:
        draft = about_proposal(paid[0].applied, known)
        numbers = {**draft.numbers, "balance": member.balance}
        draft = _with_the_balance(draft, known)
        return draft._replace(numbers=numbers, ahead=[*draft.ahead, *ahead[: -len(possible(paid)) or None]])
    return Draft(
        _verdict(numbers),
        _headline(paid, numbers),
        then=_now(known).whole,
        endings=list(_listed(known, paid)),
        numbers={**numbers, "balance": member.balance},
        ahead=ahead,
        topics=_topics(paid),
        agent_only=_links(paid),
    )


def _verdict(numbers: dict[str, int]) -> Verdict:
    for name, verdict in (("back", "yes"), ("kept", "no"), ("open", "not-yet")):
        if numbers[name] == numbers["spent"]:
            return verdict  # type: ignore[return-value] # one of three
    return "partly"


def _headline(paid: Sequence[One], numbers: dict[str, int], whose: str = "your", noun: str = "proposal") -> str:
    spent = numbers["spent"]
    on = f"on {whose} {counted(len(paid), noun)}"
    if numbers["back"] == spent:
        return f"Yes: all of the {connects(spent)} {on} came back."
    if numbers["kept"] == spent:
        return f"No: the {connects(spent)} {on} did not come back."
    if numbers["open"] == spent:
        return f"Not yet: the {connects(spent)} {on} {are(spent)} still undecided."
    return f"Partly: of the {connects(spent)} {on}, {_parts(numbers)}."


def _parts(numbers: dict[str, int]) -> str:
    parts = [
        f"{numbers['back']} came back" if numbers["back"] else "",
        f"{numbers['kept']} did not{'' if numbers['back'] else ' come back'}" if numbers["kept"] else "",
        f"{numbers['open']} {are(numbers['open'])} still undecided" if numbers["open"] else "",
    ]
    return in_a_row([part for part in parts if part])


def _listed(known: Known, paid: Sequence[One]) -> Iterator[str]:
    """A line for each, the largest that did not come back first."""
    weighed = sorted(paid, key=lambda one: (_weight(one), -one.applied.spent, one.applied.proposal_id))
    for one in weighed[:MOST_LISTED]:
        yield f"{one.applied.job_id}, {connects(one.applied.spent)}: {_became(one, known)}."
    if rest := weighed[MOST_LISTED:]:
        spent = sum(one.applied.spent for one in rest)
        yield f"{counted(len(rest), 'more proposal')}, {connects(spent)} together."


def _weight(one: One) -> int:
    return _ORDER[one.outcome.state]


def _became(one: One, known: Known) -> str:
    """What became of a proposal, as the end of a line."""
    applied, outcome = one
    if outcome.state == "open":
        boost = f"{outcome.back} came back, the rest is " if outcome.back else ""
        return f"{boost}undecided, because the job is open (you applied on {day(applied.spent_at)})"
    if outcome.state == "deciding":
        closing = outcome.closing
        return f"decided in a moment: the job ended on {day(None if closing is None else closing.closed_at)}"
    if outcome.state == "back":
        returned = returned_of(applied, known)
        if not returned:
            raise Missing
        last = returned[-1]
        why = _CLOSED.get(str(last.decision.facts.get("closure")), "you were outbid")
        return f"came back on {day(last.change.occurred_at)}, because {why}"
    verb = "did not" if outcome.decision is not None else "will not"
    some = f"{outcome.back} came back, {outcome.kept} {verb}" if outcome.back else f"{verb} come back"
    return f"{some}, because {_because(one)}"


def _because(one: One) -> str:
    applied, outcome = one
    facts = {} if outcome.decision is None else outcome.decision.facts
    if outcome.reason == "job-expired":
        return f"it expired on {day(facts.get('closed_at'))}"
    if outcome.reason == "proposal-withdrawn":
        return f"you withdrew on {day(facts.get('withdrawn_at') or applied.withdrawn_at)}"
    yours = next((hire.hired_at for hire in applied.hires if hire.freelancer_id == applied.freelancer_id), None)
    hired = facts.get("hired_at") or yours or (applied.hires[0].hired_at if applied.hires else None)
    if outcome.reason == "taken-back" and "hired_at" not in facts and outcome.decision is not None:
        taken_at = outcome.decision.business_time or outcome.decision.recorded_at
        return f"what had come back by mistake was taken back on {day(taken_at)}"
    if hired is None:
        return f"of how the job ended on {day(facts.get('closed_at'))}"
    who = "somebody was" if yours is None else "you were"
    closed = f", before the job ended on {day(facts['closed_at'])}" if facts.get("closed_at") else ""
    return f"{who} hired on {day(hired)}{closed}"


def _with_the_balance(draft: Draft, known: Known) -> Draft:
    """A reply about a proposal, and what the person has now; less of both where that would not be short."""
    now = _now(known)
    for why in (draft.why, draft.why.replace(NOT_OUTBID, "").rstrip()):
        for said in (now.whole, now.balance):
            then = sentences(draft.then.replace(now.balance, "").strip(), said)
            if is_short(draft.headline, why, then):
                return draft._replace(why=why, then=then)
    return draft._replace(then=now.balance)


class _Now(NamedTuple):
    """What somebody has now, in a sentence; and in one that says what comes, too."""

    balance: str
    whole: str


def _now(known: Known) -> _Now:
    member = known.member
    if member is None:
        raise Missing
    if member.balance < 0:
        has = f"Your balance is {connects(member.balance)}"
        return _Now(f"{has}.", f"{has}: the next Connects that come in pay for that first.")
    has, coming = f"You have {connects(member.balance)} now", next_grant(member)
    if coming is None or coming.on is None or not coming.connects:
        return _Now(f"{has}.", f"{has}.")
    more = f"{coming.connects} more {come(coming.connects)}"
    if coming.what == "renewal":
        return _Now(f"{has}.", f"{has}, and {more} when the charge of {day(coming.on)} is paid.")
    return _Now(f"{has}.", f"{has}, and {more} on {day(coming.on)}.")


def possible(paid: Sequence[One]) -> list[Next]:
    """What may still come back of several proposals, and by what."""
    still = sum(one.outcome.open for one in paid)
    expired = sum(one.outcome.kept for one in paid if one.outcome.reason == "job-expired")
    ended = [Next(None, "client-closes", still), Next(None, "removed", still)] if still else []
    return [*ended, Next(None, "reopened-and-closed", expired)] if expired else ended


def _topics(paid: Sequence[One]) -> list[str]:
    reasons = {one.outcome.reason for one in paid if one.outcome.kept}
    found = {"somebody-was-hired": "hired", "job-expired": "expired", "proposal-withdrawn": "withdrawn"}
    topics = ["refunds", *(topic for reason, topic in found.items() if reason in reasons)]
    return [*topics, "silence"] if any(one.outcome.open for one in paid) else topics


def _links(paid: Sequence[One]) -> list[str]:
    each = ", ".join(
        f"{one.applied.proposal_id} for {one.applied.job_id} ({_STATES[one.outcome.state]})"
        for one in paid[: -MOST_LISTED - 1 : -1]
    )
    return [f"proposals {each}", f"one by itself: connects explain --proposal {paid[-1].applied.proposal_id}"]
