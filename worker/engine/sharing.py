"""Which corrections of decisions may be decided together: those that touch nothing in common.

Each of them reads the ledger, in which what was decided before it must be if it has to do with it. So those that have
nothing to do with each other are looked up together, decided in their order, and committed in one batch. What has waits
for the next one, and all that has to do with what waits, waits behind it: the order of any two of which one may change
what the other finds is that of the plan.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from worker.domain.rules.replaces import ToReplace
from worker.domain.rules.undone import ToUndo, UndoneAdd, UndoneForgetting, UndoneSpendVoid, UndoneTold, UndoneVoid
from worker.domain.rules.voids import ToVoid
from worker.repair.plan import OfADecision, Undo
from worker.repair.voiding import OF_JOBS

Thing = tuple[str, str]
"""A kind and an id: a wallet (with its lots, membership and grants), a job, a proposal, a natural key of a rule."""
WALLET, JOB, PROPOSAL, DECISION, EVENT = "wallet", "job", "proposal", "decision", "event"
_NOTHING: Final[frozenset[Thing]] = frozenset()


class Footprint(NamedTuple):
    """What deciding a correction looks at and changes.

    `alone` are things that no other one may touch. Of those `beside` it looks at what the others that are beside it do
    not change: two proposals of one job are taken out of it in any order, but not while its closing is forgotten.
    """

    alone: frozenset[Thing] = _NOTHING
    beside: frozenset[Thing] = _NOTHING

    def joined(self, other: "Footprint") -> "Footprint":
        """Both."""
        return Footprint(self.alone | other.alone, self.beside | other.beside)


def named_by(correction: OfADecision) -> Footprint:
    """What a correction touches by what the plan says of it: its wallet, job, proposal, event and decision.

    The job is touched alone by what may change its closings or hires, or the order of its proposals.
    """
    names = [(WALLET, correction.freelancer_id), (PROPOSAL, correction.proposal_id), (DECISION, str(correction.seq))]
    names += [(EVENT, f"{correction.topic}/{event_id}") for event_id in correction.corrects]
    job = _things([(JOB, correction.job_id)])
    is_undo = isinstance(correction, Undo) and correction.topic == "proposal-submitted"
    if correction.topic in OF_JOBS or is_undo:
        return Footprint(_things(names) | job)
    return Footprint(_things(names), job)


def touched_by(correction: OfADecision) -> Footprint:
    """What a correction touches, by what the ledger says of the decision that it corrects, too."""
    named, found = named_by(correction), correction.found
    if found is None:
        raise AssertionError("what the ledger says of the decision was not read")
    if isinstance(found, ToUndo):
        return named.joined(_of_undo(found))
    return named.joined(_of_void(found.what if isinstance(found, ToReplace) else found))


def _of_void(what: ToVoid) -> Footprint:
    job = _things([(JOB, what.job_id)])
    if what.is_of_job:
        return Footprint(job)
    names: list[tuple[str, str | None]] = [(WALLET, what.freelancer_id), (PROPOSAL, what.subject.proposal_id)]
    names += [(PROPOSAL, name) for name in (*what.drawn_by, *(one.proposal_id for one in what.awaited))]
    if not (what.is_spend or what.is_of_proposal):
        names.append((what.rule, what.natural_key))
    return Footprint(_things(names), job)


def _of_undo(found: ToUndo) -> Footprint:
    names = [(WALLET, found.freelancer_id), (PROPOSAL, found.proposal_id), (DECISION, str(found.seq))]
    job, what = _things([(JOB, found.job_id)]), found.what
    if isinstance(what, UndoneAdd):
        return Footprint(_things(names), job).joined(_of_void(what.what))
    if isinstance(what, UndoneVoid):
        names.append((what.rule, what.natural_key))
    if isinstance(what, UndoneTold):
        names.append((PROPOSAL, what.awaited.proposal_id))
    if isinstance(what, UndoneSpendVoid | UndoneForgetting):
        return Footprint(_things(names) | job)
    return Footprint(_things(names), job)


def _things(names: Iterable[tuple[str, str | None]]) -> frozenset[Thing]:
    return frozenset((kind, name) for kind, name in names if name)


class Taken:
    """What was taken so far of corrections in their order, and what waits for the next time."""

    def __init__(self) -> None:
        self._alone: set[Thing] = set()
        self._beside: set[Thing] = set()
        self._behind: set[Thing] = set()
        self.waits = False
        """Whether anything has to wait."""

    def takes(self, one: Footprint) -> bool:
        """Take one, unless it meets what was taken, or has anything to do with what waits; else it waits, too."""
        if self._meets(one) or not (self._behind.isdisjoint(one.alone) and self._behind.isdisjoint(one.beside)):
            self._behind |= one.alone | one.beside
            self.waits = True
            return False
        self._alone |= one.alone
        self._beside |= one.beside
        return True

    def _meets(self, one: Footprint) -> bool:
        """Whether one may change what another one that was taken looks at or changes, or the other way round."""
        return not (
            self._alone.isdisjoint(one.alone)
            and self._alone.isdisjoint(one.beside)
            and self._beside.isdisjoint(one.alone)
        )


def first_apart(corrections: Sequence[OfADecision], most: int, by_themselves: Collection[int]) -> list[OfADecision]:
    """The first of these that the plan names nothing in common of, in their order, and at most so many.

    One whose number is among `by_themselves` is given alone, when it is the first of all; before it what comes before
    it.
    """
    found: list[OfADecision] = []
    taken = Taken()
    for one in corrections:
        if one.number in by_themselves:
            return found or [one]
        if taken.takes(named_by(one)):
            found.append(one)
            if len(found) >= most:
                break
    return found
