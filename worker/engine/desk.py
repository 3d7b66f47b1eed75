"""What decisions are taken on: the books, the draft that they are written into, the agenda, and what is stopped."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from worker.clock.agenda import Agenda
from worker.domain.books import Books, Due, Touched
from worker.domain.decisions import Decision
from worker.domain.model import Closure, FreelancerId, Job, JobId, midnight
from worker.domain.policy import PolicyBook
from worker.domain.rules.refunds import closing_order
from worker.engine.draft import Draft
from worker.errors import Bug
from worker.ledger.store import CYCLE, EXPIRY, LATE_SETTLEMENT, SETTLEMENT, Appointment, ParkedKey

_JOB_TOPICS: Final = frozenset({"job-closed", "hire-made"})
"""A failure in their rules stops the job, others' the wallet."""
_MOST_TOLD: Final = 500
"""How many characters of a failure are kept for operators."""


LARGE: Final = 5_000
"""A decision that may touch more lots, debts or draws than this is taken in a thread, beside the event loop."""


class Desk:
    """Of one term, from one reading of the ledger on. `begin` a draft, then `book` and `park` what is decided.

    `parked` has the stopped wallets and jobs, each with the event ids of the clock work that waits there. `failing` has
    the triggers whose rule is known to fail, each with the failure in words.
    """

    def __init__(
        self,
        books: Books,
        policies: PolicyBook,
        grace: timedelta,
        agenda: Agenda,
        parked: dict[ParkedKey, set[str]],
        failing: dict[object, str],
    ) -> None:
        self.books, self.policies, self.agenda = books, policies, agenda
        self.parked, self.failing = parked, failing
        self._grace = grace
        self._due_noted = self._cycles_noted = 0
        self.draft: Draft

    def begin(self, draft: Draft) -> None:
        """Let what is decided from now on go into this draft."""
        self.draft = draft
        self.books.touched = Touched()
        self._due_noted = self._cycles_noted = 0

    def book(self, decisions: Sequence[Decision]) -> None:
        """Write decisions into the draft, and what they bring for the clock into its agenda."""
        for decision in decisions:
            self.draft.add(decision)
            for change in decision.changes:
                for lot_id, expires_at, _, delta in change.movements:
                    if delta > 0 and lot_id is not None and expires_at is not None:
                        due_at = expires_at + self._grace
                        self.agenda.add(Appointment(due_at, EXPIRY, lot_id, (), 0, change.freelancer_id))
        touched = self.books.touched
        for due in touched.due_added[self._due_noted :]:
            self.agenda.add(self._appointment(due, JobId(decisions[0].subject.job_id or "")))
        self._due_noted = len(touched.due_added)
        for day, freelancer_id in touched.cycles_added[self._cycles_noted :]:
            self.agenda.add(Appointment(midnight(day) + self._grace, CYCLE, freelancer_id, (), 0, freelancer_id))
        self._cycles_noted = len(touched.cycles_added)

    def _appointment(self, due: Due, job_id: JobId) -> Appointment:
        seq, _, proposal_id = due.key.partition("/")
        if not proposal_id:
            return Appointment(due.due_at, SETTLEMENT, "", (), int(seq), job_id)
        closing = closing_order(closure_of(self.books.jobs[job_id], int(seq)))
        return Appointment(due.due_at, LATE_SETTLEMENT, proposal_id, closing, int(seq), job_id)

    def is_large(self, topic: str, named: Mapping[str, str]) -> bool:
        """Whether deciding an event of that topic, with these fields, may take long enough to hold up the event loop.

        A change may touch every lot and every debt of its wallet, a hire every proposal of its job, and a membership
        event everything that waits for a cycle start or a charge.
        """
        if topic in _JOB_TOPICS:
            job = self.books.jobs.get(JobId(named["job_id"]))
            return topic == "hire-made" and job is not None and len(job.proposal_ids) > LARGE
        return self.size_of(FreelancerId(named["freelancer_id"])) > LARGE

    def size_of(self, freelancer_id: FreelancerId) -> int:
        """How many lots, debts and waiting events one freelancer has."""
        wallet, held = self.books.wallets.get(freelancer_id), self.books.held.get(freelancer_id, ())
        return len(held) + (0 if wallet is None else len(wallet.lots) + len(wallet.owing))

    def stopped_for(self, topic: str, named: Mapping[str, str]) -> ParkedKey | None:
        """The stopped wallet or job that an event of that topic waits behind; `named` are its fields."""
        key = self.stopped_by(topic, named)
        return key if key in self.parked else None

    def stopped_by(self, topic: str, named: Mapping[str, str]) -> ParkedKey:
        """The wallet or job that a failure in the rule for such an event stops."""
        scope, field = ("job", "job_id") if topic in _JOB_TOPICS else ("wallet", "freelancer_id")
        return ParkedKey(scope, named[field])

    def fails(self, trigger: object, where: str, error: Exception) -> Bug:
        """Note that the rule for a trigger fails; gives what to raise, which says where."""
        self.failing[trigger] = f"{type(error).__name__}: {error}"[:_MOST_TOLD]
        return Bug(f"{where}: {self.failing[trigger]}")

    def park(self, decision: Decision, key: ParkedKey, error: str | None) -> None:
        """Write down that a trigger waits behind a wallet or job, which is stopped by the first one with its error."""
        batch = self.draft.batch
        if key not in self.parked:
            self.parked[key] = set()
            batch.parked.append((key.scope, key.key, decision.seq, error or "", batch.recorded_at))
        self.draft.add(decision)
        batch.parked_triggers.append((decision.seq, key.scope, key.key))


def closure_of(job: Job, seq: int) -> Closure:
    """The closure that the job-closed decision of that seq noted."""
    return next(known for known in job.closures if known.decision_seq == seq)
