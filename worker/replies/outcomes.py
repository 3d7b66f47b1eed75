"""What became of the Connects of one proposal: back, kept, or still undecided; and what came back of it when."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from worker.domain.rules.decides import AMENDED, DECIDE
from worker.domain.rules.undos import UNDO, UNDONE
from worker.replies.known import Applied, Closing, Known
from worker.replies.recorded import ChangeMade, DecisionRecord
from worker.replies.writing import Missing, day

State = Literal["free", "back", "kept", "open", "deciding"]
CLAWED_BACK: Final = "refund.clawed-back"
SETTLED_AGAIN: Final = "correct.settle"
ENDED: Final[Mapping[str, str]] = {
    "closed-by-client": "the client closed the job",
    "removed-by-marketplace": "the marketplace removed the job",
    "expired": "the job expired",
}
WAS: Final[Mapping[str, str]] = {
    "closed-by-client": "was closed by the client",
    "removed-by-marketplace": "was removed by the marketplace",
    "expired": "expired",
}
RETURNS: Final = frozenset({"closed-by-client", "removed-by-marketplace"})


class Returned(NamedTuple):
    """Connects that came back together, the change that did it, and by which decision."""

    connects: int
    change: ChangeMade
    decision: DecisionRecord


class Outcome(NamedTuple):
    """What became of a proposal. `spent` = `back` + `kept` + `open`. `reason` is that of a refusal or a refund.

    `closing` is the one that decided, or is to decide.
    """

    state: State
    back: int
    kept: int
    open: int
    reason: str = ""
    decision: DecisionRecord | None = None
    closing: Closing | None = None

    @property
    def numbers(self) -> dict[str, int]:
        """The sums, as a reply counts them."""
        return {"spent": self.back + self.kept + self.open, "back": self.back, "kept": self.kept, "open": self.open}


def outcome_of(applied: Applied, known: Known) -> Outcome:
    """What became of a proposal, by all that is known now."""
    rest = applied.spent - applied.back
    settled = known.settlements(applied.proposal_id) if applied.closings else []  # else all its closings were voided
    last = settled[-1] if settled else None
    if not applied.spent:
        return Outcome("free", 0, 0, 0, applied.origin, last)
    if not rest:
        return Outcome("back", applied.back, 0, 0)
    if (pending := _pending(applied, last)) is not None:
        return Outcome("deciding", applied.back, 0, rest, "", None, pending)
    reason, decision = _why_kept(applied, known, last)
    if reason:
        return Outcome("kept", applied.back, rest, 0, reason, decision)
    return Outcome("open", applied.back, 0, rest)


def counted_once(said: int, applied: Applied, known: Known) -> dict[str, int]:
    """The numbers of a reply that says only one number of a proposal: its sums, if they are that number; its boost."""
    numbers = outcome_of(applied, known).numbers
    if {number for number in numbers.values() if number} == {said}:
        return numbers
    return {"boost": said} if applied.boost == said else {}


def _pending(applied: Applied, last: DecisionRecord | None) -> Closing | None:
    """The closing that is to decide: one that is not settled, or whose turn for a late proposal is still to come."""
    pending = next((one for one in applied.closings if not one.settled), None)
    if pending is None and last is None and applied.closings:
        return applied.closings[0]
    return pending


def _why_kept(applied: Applied, known: Known, last: DecisionRecord | None) -> tuple[str, DecisionRecord | None]:
    """Why what has not come back will not, and the decision that says so; no reason: it still may."""
    taken = taken_back(applied, known)
    if taken and (applied.closings or not {"hired_at", "withdrawn_at"}.isdisjoint(taken.facts)):
        return "taken-back", taken  # else it is open again: its closing was voided
    if last is not None:
        return last.reason, last
    if applied.withdrawn_at is not None:
        return "proposal-withdrawn", None
    return ("somebody-was-hired" if applied.hires else ""), None


def returned_of(applied: Applied, known: Known) -> list[Returned]:
    """What came back of a proposal, the oldest first; of an amount that was corrected, what was due."""
    decisions = known.about(applied.proposal_id)
    due = {one.follows: due for one in amendments_of(decisions) if type(due := one.facts.get("connects")) is int}
    came = [
        Returned(due.get(one.seq, change.delta), change, one)
        for one in decisions
        for change in one.changes
        if change.rule.startswith(("refund.", SETTLED_AGAIN))
        and change.delta > 0
        and change.freelancer_id == applied.freelancer_id
    ]
    return [one for one in came if one.connects > 0]


def amendments_of(decisions: Iterable[DecisionRecord]) -> list[DecisionRecord]:
    """Those of these decisions that corrected the amount of an earlier one, and were not undone."""
    every = list(decisions)
    undone = {one.follows for one in every if (one.rule, one.reason) == (UNDO, UNDONE)}
    return [one for one in every if (one.rule, one.reason) == (DECIDE, AMENDED) and one.seq not in undone]


def taken_back(applied: Applied, known: Known) -> DecisionRecord | None:
    """The decision that took a refund of this proposal back, if that is the last that happened to it."""
    late = [one for one in known.late_hires if is_of_job(one, applied) and takes_from(one, applied.freelancer_id)]
    corrected = [one for one in known.about(applied.proposal_id) if one.reason == "taken-back"]
    taken = max([*late, *corrected], key=lambda one: one.seq, default=None)
    if taken is None:
        return None
    came = returned_of(applied, known)
    if not came or taken.seq < came[-1].decision.seq:
        return None
    settled = known.settlements(applied.proposal_id)
    return taken if not settled or settled[-1].seq < taken.seq else None


def takes_from(one: DecisionRecord, freelancer_id: str) -> bool:
    """Whether a decision took refunds back from a wallet."""
    return any(change.rule == CLAWED_BACK and change.freelancer_id == freelancer_id for change in one.changes)


def is_of_job(one: DecisionRecord, applied: Applied) -> bool:
    """Whether a decision is about the job of a proposal."""
    return one.subject.get("job_id") == applied.job_id


def boost_back_on(applied: Applied, known: Known) -> str:
    """When a boost came back."""
    returned = returned_of(applied, known)
    if not returned:
        raise Missing
    return day(returned[-1].change.occurred_at)
