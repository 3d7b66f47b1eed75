"""Replies about Connects that did not come back: because of what, and what would have helped."""

from datetime import datetime
from typing import Final, NamedTuple

from worker.replies.known import Applied, Known
from worker.replies.outcomes import ENDED, RETURNS, WAS, Outcome, boost_back_on, returned_of
from worker.replies.reply import Draft, Next
from worker.replies.writing import (
    NOT_OUTBID,
    Missing,
    come,
    day,
    first_up,
    paid_in_all,
    paid_in_parts,
    sentences,
    the,
    they,
    what_it_cost,
)
from worker.words.phrases import connects


def kept(applied: Applied, outcome: Outcome, known: Known) -> Draft:
    """Some of it, or all, did not come back and will not."""
    if outcome.reason == "taken-back":
        return _was_taken_back(applied, outcome, known)
    because, why, then, topics = _REFUSALS.get(outcome.reason, _other_refusal)(applied, outcome)
    before = outcome.decision is None
    verb = "will not come back" if before else "did not come back"
    applied_on = f"You applied on {day(applied.spent_at)}"
    if outcome.back:
        boost_on = boost_back_on(applied, known)
        return Draft(
            "partly",
            f"Partly: the {outcome.back} of your boost came back on {boost_on}; the {outcome.kept} for the proposal "
            f"{verb}, because {because}.",
            why.replace(applied_on, paid_in_all(applied), 1),
            then,
            ahead=_if_reopened(outcome),
            topics=["boosts", *topics],
        )
    if applied.boost:
        why = sentences(why.replace(applied_on, paid_in_parts(applied), 1), NOT_OUTBID)
        topics = ["boosts", *topics]
    return Draft(
        "no",
        f"No: {the(outcome.kept)} for {applied.job_id} {verb}, because {because}.",
        why,
        then,
        ahead=_if_reopened(outcome),
        topics=topics,
    )


def _if_reopened(outcome: Outcome) -> list[Next]:
    return [Next(None, "reopened-and-closed", outcome.kept)] if outcome.reason == "job-expired" else []


ONLY_IF_REOPENED: Final = (
    "if the job is reopened and then closed by the client, or removed by the marketplace, with nobody hired."
)


class Refusal(NamedTuple):
    """A refusal: because, why, what would have helped, and the topics that fit."""

    because: str
    why: str
    then: str
    topics: list[str]


def _expired(applied: Applied, outcome: Outcome) -> Refusal:
    return Refusal(
        f"the job expired on {_closed_on(outcome)}",
        f"You applied on {day(applied.spent_at)}, and the client never closed the job; a job that expires returns "
        "nothing.",
        f"{first_up(they(outcome.kept))} still {come(outcome.kept)} back {ONLY_IF_REOPENED}",
        ["expired", "silence"],
    )


def _hired(applied: Applied, outcome: Outcome) -> Refusal:
    hired_at = _fact(outcome, "hired_at") or (applied.hires[0].hired_at if applied.hires else None)
    yours = next((one.hired_at for one in applied.hires if one.freelancer_id == applied.freelancer_id), None)
    closed = ""
    if outcome.decision is not None:
        ended = ENDED.get(str(_fact(outcome, "closure")), "the job was closed")
        closed = f", and {ended} on {_closed_on(outcome)}, after the hire"
    applied_on = f"You applied on {day(applied.spent_at)}{closed}"
    if yours is not None:
        return Refusal(
            f"you were hired on {day(yours)}",
            f"{applied_on}.",
            "A contract that is cancelled before it starts still counts as a hire; only an offer that is declined does "
            "not.",
            ["contract-cancelled", "courtesy"],
        )
    return Refusal(
        f"somebody was hired on {day(hired_at)}",
        f"{applied_on}. A hire keeps the Connects of everybody who applied, "
        f"{'interviewed or not' if outcome.decision is not None else 'whenever the job closes after it'}.",
        "Nothing about this job will change that.",
        ["hired", "refunds"],
    )


def _withdrawn(applied: Applied, outcome: Outcome) -> Refusal:
    withdrawn = day(_fact(outcome, "withdrawn_at") or applied.withdrawn_at)
    if outcome.decision is None:
        return Refusal(
            f"you withdrew your proposal on {withdrawn}",
            f"You applied on {day(applied.spent_at)}. A withdrawal never returns Connects, whatever the reason.",
            "That stays so, however the job ends. A new proposal costs its own Connects and is judged by itself.",
            ["withdrawn"],
        )
    closure = str(_fact(outcome, "closure"))
    would = ""
    if closure in RETURNS and not any(one.hired_at <= _closed_at(outcome) for one in applied.hires):
        would = f"Without the withdrawal {they(outcome.kept)} would have come back that day."
    return Refusal(
        f"you withdrew your proposal on {withdrawn}",
        f"You applied on {day(applied.spent_at)}, and {ENDED.get(closure, 'the job was closed')} on "
        f"{_closed_on(outcome)}; the Connects of a withdrawn proposal stay spent, however the job ends.",
        would or "Nothing about this job will change that.",
        ["withdrawn", "removed"] if closure == "removed-by-marketplace" else ["withdrawn"],
    )


def _other_refusal(applied: Applied, outcome: Outcome) -> Refusal:
    return Refusal(
        f"the job {WAS.get(str(_fact(outcome, 'closure')), 'was closed')} on {_closed_on(outcome)}",
        f"You applied on {day(applied.spent_at)}.",
        f"{first_up(they(outcome.kept))} can still come back {ONLY_IF_REOPENED}",
        ["refunds"],
    )


_REFUSALS: Final = {"job-expired": _expired, "somebody-was-hired": _hired, "proposal-withdrawn": _withdrawn}


def _was_taken_back(applied: Applied, outcome: Outcome, known: Known) -> Draft:
    decision = outcome.decision
    if decision is None:
        raise Missing
    on = day(decision.business_time or decision.recorded_at)
    came = returned_of(applied, known)
    before = (
        f"{they(outcome.kept)} had come back on {day(came[-1].change.occurred_at)}" if came else "they had come back"
    )
    rest = f"You have {connects(known.member.balance)} now." if known.member is not None else ""
    because, topics = "they were not due", ["hired"]
    if "hired_at" in decision.facts:
        because = f"somebody had been hired on {day(decision.facts['hired_at'])}, before the job was closed"
    elif "withdrawn_at" in decision.facts:
        topics = ["withdrawn"]
        because = f"you had withdrawn your proposal on {day(decision.facts['withdrawn_at'])}, before the job was closed"
    return Draft(
        "no",
        f"No: {the(outcome.kept)} for {applied.job_id} were taken back on {on}.",
        sentences(
            what_it_cost(applied) if applied.boost else "",
            f"{first_up(before)}, but {because}. That became known only later.",
        ),
        sentences("Nothing about this job will change that.", rest),
        topics=topics,
    )


def _fact(outcome: Outcome, name: str) -> object:
    return None if outcome.decision is None else outcome.decision.facts.get(name)


def _closed_on(outcome: Outcome) -> str:
    return day(_fact(outcome, "closed_at"))


def _closed_at(outcome: Outcome) -> datetime:
    at = _fact(outcome, "closed_at")
    if isinstance(at, datetime):
        return at
    if not isinstance(at, str):
        raise Missing
    return datetime.fromisoformat(at)
