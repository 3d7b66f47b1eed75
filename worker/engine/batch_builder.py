"""What decisions are taken on: the state, the open batch, the schedule, and what is parked."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from worker.domain.cards import Need, Stops
from worker.domain.decisions import Decision, Subject
from worker.domain.model import Closure, FreelancerId, Job, JobId, midnight
from worker.domain.policy import PolicyBook
from worker.domain.rule_catalogue import RULES
from worker.domain.rules.refunds import closing_order
from worker.domain.state import Changed, Due, State
from worker.engine.open_batch import OpenBatch
from worker.engine.schedule import Schedule
from worker.errors import Bug
from worker.ledger.parked import ParkedKey
from worker.ledger.store import CYCLE, EXPIRY, LATE_SETTLEMENT, SETTLEMENT, Appointment
from worker.ledger.tables import ParkedRow, ParkedTriggerRow

_NAMED_BY: Final[Mapping[Stops, str]] = {"wallet": "freelancer_id", "job": "job_id"}
_MOST_TOLD: Final = 500
"""How many characters of a failure are kept for operators."""


LARGE: Final = 5_000
"""A decision that may touch more lots, debts or draws than this is taken in a thread, beside the event loop."""


class BatchBuilder:
    """Of one term, from one reading of the ledger on. `begin` a batch, then `book` and `park` what is decided.

    `parked` has the stopped wallets and jobs, each with the event ids of the clock work that waits there. `failing` has
    the triggers whose rule is known to fail, each with the failure in words.
    """

    def __init__(
        self,
        state: State,
        policies: PolicyBook,
        grace: timedelta,
        schedule: Schedule,
        parked: dict[ParkedKey, set[str]],
        failing: dict[object, str],
    ) -> None:
        self.state, self.policies, self.schedule = state, policies, schedule
        self.parked, self.failing = parked, failing
        self._grace = grace
        self._due_noted = self._cycles_noted = 0
        self.open_batch: OpenBatch

    def begin(self, open_batch: OpenBatch) -> None:
        """Let what is decided from now on go into this batch."""
        self.open_batch = open_batch
        self.state.changed = Changed()
        self._due_noted = self._cycles_noted = 0

    def book(self, decisions: Sequence[Decision]) -> None:
        """Write decisions into the open batch, and the clock work that they bring into the schedule."""
        for decision in decisions:
            self.open_batch.add(decision)
            for change in decision.changes:
                for lot_id, expires_at, _, delta in change.movements:
                    if delta > 0 and lot_id is not None and expires_at is not None:
                        due_at = expires_at + self._grace
                        self.schedule.add(Appointment(due_at, EXPIRY, lot_id, (), 0, change.freelancer_id))
        changed = self.state.changed
        for due in changed.due_added[self._due_noted :]:
            self.schedule.add(self._appointment(due, JobId(decisions[0].subject.job_id or "")))
        self._due_noted = len(changed.due_added)
        for day, freelancer_id in changed.cycles_added[self._cycles_noted :]:
            self.schedule.add(Appointment(midnight(day) + self._grace, CYCLE, freelancer_id, (), 0, freelancer_id))
        self._cycles_noted = len(changed.cycles_added)

    def _appointment(self, due: Due, job_id: JobId) -> Appointment:
        seq, _, proposal_id = due.key.partition("/")
        if not proposal_id:
            return Appointment(due.due_at, SETTLEMENT, "", (), int(seq), job_id)
        closing = closing_order(closure_of(self.state.jobs[job_id], int(seq)))
        return Appointment(due.due_at, LATE_SETTLEMENT, proposal_id, closing, int(seq), job_id)

    def is_large(self, topic: str, named: Mapping[str, str]) -> bool:
        """Whether deciding an event of that topic, with these fields, may take long enough to hold up the event loop.

        A change may touch every lot and every debt of its wallet, a hire every proposal of its job, and a membership
        event everything that waits for a cycle start or a charge.
        """
        card = RULES[topic]
        if card.stops == "job":
            job = self.state.jobs.get(JobId(named["job_id"]))
            return Need.REFUNDS_OF_JOB in card.needs and job is not None and len(job.proposal_ids) > LARGE
        return self.size_of(FreelancerId(named["freelancer_id"])) > LARGE

    def size_of(self, freelancer_id: FreelancerId) -> int:
        """How many lots, debts and waiting events one freelancer has."""
        wallet, held = self.state.wallets.get(freelancer_id), self.state.held.get(freelancer_id, ())
        return len(held) + (0 if wallet is None else len(wallet.lots) + len(wallet.owing))

    def stopped_for(self, topic: str, named: Mapping[str, str]) -> ParkedKey | None:
        """The stopped wallet or job that an event of that topic waits behind; `named` are its fields."""
        key = self.stopped_by(topic, named)
        return key if key in self.parked else None

    def stopped_of(self, subject: Subject) -> ParkedKey | None:
        """The wallet or job of a subject that is stopped."""
        named = (("wallet", subject.freelancer_id), ("job", subject.job_id))
        keys = (ParkedKey(scope, key) for scope, key in named if key is not None)
        return next((key for key in keys if key in self.parked), None)

    def stopped_by(self, topic: str, named: Mapping[str, str]) -> ParkedKey:
        """The wallet or job that a failure in the rule for such an event stops."""
        scope = RULES[topic].stops
        return ParkedKey(scope, named[_NAMED_BY[scope]])

    def fails(self, trigger: object, where: str, error: Exception) -> Bug:
        """Note that the rule for a trigger fails; gives what to raise, which says where."""
        self.failing[trigger] = f"{type(error).__name__}: {error}"[:_MOST_TOLD]
        return Bug(f"{where}: {self.failing[trigger]}")

    def park(self, decision: Decision, key: ParkedKey, error: str | None) -> None:
        """Write down that a trigger waits behind a wallet or job, which is stopped by the first one with its error."""
        batch = self.open_batch.batch
        if key not in self.parked:
            self.parked[key] = set()
            batch.parked.append(ParkedRow(key.scope, key.key, decision.seq, error or "", batch.recorded_at))
        self.open_batch.add(decision)
        batch.parked_triggers.append(ParkedTriggerRow(decision.seq, key.scope, key.key))


def closure_of(job: Job, seq: int) -> Closure:
    """The closure that the job-closed decision of that seq noted."""
    return next(known for known in job.closures if known.decision_seq == seq)
