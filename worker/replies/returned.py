"""Replies about a proposal that cost nothing, or whose Connects came back, and until when they last."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final

from worker.replies.known import Applied, Known
from worker.replies.outcomes import Outcome, Returned, amendments_of, returned_of
from worker.replies.recorded import DecisionRecord, LotMoved
from worker.replies.reply import Draft
from worker.replies.writing import Missing, all_of, day, first_up, in_a_row, paid_in_parts, sentences, they
from worker.words.phrases import agreeing


def cost_nothing(applied: Applied, _outcome: Outcome, _known: Known) -> Draft:
    """It cost nothing."""
    spent_on = day(applied.spent_at)
    if applied.origin == "invite":
        return Draft(
            "nothing-due",
            f"Nothing to return: applying to {applied.job_id} was free, because you were invited.",
            f"You applied on {spent_on} and paid 0 Connects.",
            topics=["invitations"],
        )
    return Draft(
        "nothing-due",
        f"Nothing to return: your proposal for {applied.job_id} cost 0 Connects.",
        f"You applied on {spent_on}.",
    )


def came_back(applied: Applied, outcome: Outcome, known: Known) -> Draft:
    """All of it came back."""
    returned = returned_of(applied, known)
    if not returned:
        raise Missing
    was_corrected = returned[-1].decision.reason == "settled-anew"  # and so is not dated on the closing day
    topics = ["refund-meaning"] if was_corrected else ["refund-meaning", "refund-time"]
    if (
        len({day(one.change.occurred_at) for one in returned}) > 1
        or sum(one.connects for one in returned) > outcome.back
        or amendments_of(known.about(applied.proposal_id))
    ):
        return _back_in_parts(applied, outcome, returned)._replace(topics=["boosts", *topics])
    last = returned[-1]
    on, spent_on = day(last.change.occurred_at), day(applied.spent_at)
    late = [hire for hire in applied.hires if hire.hired_at <= last.change.occurred_at]
    stay = f", and {they(outcome.back)} {agreeing(outcome.back, 'stays', 'stay')}" if late else ""
    headline = f"Yes: {all_of(outcome.back)} for {applied.job_id} came back on {on}{stay}."
    both = ""
    if applied.base and applied.boost:
        both = f"Both parts came back: {applied.base} for the proposal and {applied.boost} for its boost."
    return Draft(
        "yes",
        headline,
        sentences(_how_it_came_back(last.decision, spent_on), both),
        _until_when(last),
        topics=topics,
        agent_only=[f"a hire of {day(hire.hired_at)} became known only after the refund" for hire in late],
    )


def _how_it_came_back(decision: DecisionRecord, spent_on: str) -> str:
    if decision.reason != "settled-anew":
        return _how(decision.reason, spent_on)
    closure = str(decision.facts.get("closure", "boost-outbid"))  # no closure returned it: its boost was outbid
    return f"{_how(closure, spent_on)} That had been missed, and was corrected."


def _how(reason: str, spent_on: str) -> str:
    if reason == "removed-by-marketplace":
        return f"You applied on {spent_on}; the marketplace removed the job, and nobody had been hired."
    if reason == "boost-outbid":
        return f"You applied on {spent_on}, and were outbid before the client did anything with your proposal."
    return f"You applied on {spent_on}, and the client closed the job without hiring anyone."


def _back_in_parts(applied: Applied, outcome: Outcome, returned: Sequence[Returned]) -> Draft:
    """The boost came back before the rest; or something that had been taken back came back again."""
    latest = returned[-2:] if outcome.back == sum(one.connects for one in returned[-2:]) else returned[-1:]
    parts = in_a_row([f"{one.connects} on {day(one.change.occurred_at)}" for one in latest])
    headline = f"Yes: {all_of(outcome.back)} for {applied.job_id} came back: {parts}."
    if len({day(one.change.occurred_at) for one in latest}) == 1:
        headline = f"Yes: {all_of(outcome.back)} for {applied.job_id} came back on {day(latest[0].change.occurred_at)}."
    last = latest[-1].decision.reason
    ended = "the marketplace removed the job, and nobody had been hired"
    if last in {"closed-without-hire", "settled-anew"}:
        ended = "the client closed the job without hiring anyone"
    outbid = (
        "you were outbid first, and then " if "boost-outbid" in {one.decision.reason for one in latest[:-1]} else ""
    )
    told = {0, outcome.back, *(one.connects for one in latest if headline.endswith(f": {parts}."))}
    begins = f"You applied on {day(applied.spent_at)}"
    if not {applied.base, applied.boost} <= told:
        begins = paid_in_parts(applied)
    return Draft(
        "yes",
        headline,
        f"{begins}; {outbid}{ended}.",
        "The proposal cost you nothing in the end.",
    )


def _until_when(returned: Returned) -> str:
    """Which expiry dates the Connects that came back have."""
    new = f"{returned.change.freelancer_id}:{returned.change.version}"
    opened = {lot.lot_id for lot in returned.change.lots if lot.lot_id == new or lot.lot_id.startswith(f"{new}.")}
    came = [lot for lot in returned.change.lots if lot.delta > 0]
    at = returned.change.occurred_at
    later = _by_day(lot for lot in came if lot.lot_id in opened)
    kept = _by_day(lot for lot in came if lot.lot_id not in opened and lot.expires_at > at)
    over = sum(lot.delta for lot in came if lot.lot_id not in opened and lot.expires_at <= at)
    return sentences(
        _kept_dates(kept, alone=sum(kept.values()) == returned.connects),
        *(
            f"{first_up(_of_them(count, returned.connects))} would have expired soon; {they(count)} "
            f"now {agreeing(count, 'lasts', 'last')} until {day(end)}."
            for end, count in later.items()
        ),
        f"The expiry date of {_of_them(over, returned.connects)} was over, so {they(over)} expired at once."
        if over
        else "",
    )


def _by_day(lots: Iterable[LotMoved]) -> dict[date, int]:
    """How many Connects expire on which day, soonest first."""
    ends: dict[date, int] = {}
    for lot in sorted(lots, key=lambda lot: lot.expires_at):
        ends[lot.expires_at.date()] = ends.get(lot.expires_at.date(), 0) + lot.delta
    return ends


def _of_them(count: int, of_all: int) -> str:
    return "all of them" if count == of_all else f"{count} of them"


def _kept_dates(ends: Mapping[date, int], *, alone: bool) -> str:
    if not ends:
        return ""
    if len(ends) == 1:
        ((end, count),) = ends.items()
        if alone:
            they_keep, had = ("It keeps", "it had") if count == 1 else ("They keep", "they had")
            return f"{they_keep} the expiry date {had}, {day(end)}."
        return f"{count} of them {agreeing(count, 'keeps its', 'keep their')} expiry date, {day(end)}."
    first, *_, last = sorted(ends)
    if len(ends) > _MOST_DATES:
        return f"They keep the expiry dates they had, from {day(first)} to {day(last)}."
    return (
        f"They keep the expiry dates they had: {in_a_row([f'{ends[end]} until {day(end)}' for end in sorted(ends)])}."
    )


_MOST_DATES: Final = 3
