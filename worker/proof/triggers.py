"""Making a trigger of what was recorded, and deciding it by the rules of today.

Clock work is held to the conditions that the clock has for it: what it is about is there, and due at that instant.
"""

from collections.abc import Container, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from schemas.base import InputEvent
from schemas.reading import read_event
from worker.domain.decide import (
    decide_awaited,
    decide_cycle_first,
    decide_event_first,
    decide_expiry,
    decide_settlement,
)
from worker.domain.decisions import Decision
from worker.domain.model import (
    AGAIN,
    Closure,
    FreelancerId,
    Job,
    JobId,
    LotId,
    ProposalId,
    Spend,
    freed_grant,
    natural_key_of,
)
from worker.domain.rules.replaces import ToReplace
from worker.domain.rules.undone import UndoneAdd, UndoneForgetting, UndoneSpendVoid, UndoneTold
from worker.domain.rules.undos import closures_missed, spend_of
from worker.domain.rules.voids import ToVoid
from worker.domain.state import State
from worker.domain.triggers import CycleDue, ExpiryDue, Received, SettlementDue
from worker.engine import standard_decisions
from worker.engine.clock_work import cycle_due, lot_due
from worker.engine.correcting import Ordered, decide_correction, subject_of_correction
from worker.engine.unpark import as_follow_ups
from worker.kafka.records import InputRecord, TopicPartition
from worker.proof.following import add_closure, closure_of, note_first_hire
from worker.proof.groups import Group
from worker.proof.others_spends import OthersSpends
from worker.proof.recorded import JOB_TOPICS, Recorded, due_at_of
from worker.proof.undoing import Before, before
from worker.repair.plan import Decide, OfADecision, Replace, Undo, correction_in
from worker.repair.told import OF_PROPOSALS, awaited_of

_OF_A_JOB: Final = frozenset({"proposal-submitted", *JOB_TOPICS})
_NOTED: Final = frozenset({*OF_PROPOSALS, *JOB_TOPICS})
"""Topics of events that change spends or jobs in a way that movements do not say."""


class NotDue(Exception):
    """Work of the clock that there was nothing to do for, or not yet: the text says why.

    It becomes a finding where it is caught, in this room, so it is no `WorkerError`.
    """


class Trial(msgspec.Struct, gc=False):
    """One trigger, decided today on the recorded state, and what is needed to take that back."""

    noted: Before
    decisions: list[Decision] = msgspec.field(default_factory=list)
    following: Iterable[Decision] = ()
    """What had waited for it, decided as it is consumed: each on the recorded state after the one before."""
    event: InputEvent | None = None
    closure: Closure | None = None
    """Of a settlement: the closure that it settles."""


class Triggers:
    """Decides recorded triggers on this state."""

    def __init__(self, state: State, mine: Container[FreelancerId]) -> None:
        """`mine` are the freelancers of this part: what it meets of others is not decided again here."""
        self._state = state
        self.late_due: dict[tuple[int, ProposalId], datetime] = {}
        """When a spend that came after a closure of its job is due to be settled under it, if that was settled."""
        self._others = OthersSpends(state, mine)
        self._older_closures: set[int] = set()
        """Closures of batches that did not store how far they are worked off, by the seq of their decision."""

    def take_in(self, group: Group) -> bool:
        """Take a closure or hire of a job of another part as it was recorded; False: it has to be decided.

        It is decided and compared with the job. Here only its changes of wallets are, and so nothing of one that never
        has any. A hire after refunds has none under a policy that keeps them: whether today's rules keep them as well,
        only the parts of those wallets know.
        """
        recorded, row = group[0], group[0].row
        is_the_first = recorded.id_is_known and recorded.first is None and row.kind in {"first", "added"}
        if len(group) > 1 or not is_the_first or row.job_id is None or row.occurred_at is None or recorded.changes:
            return False
        job = self._state.job(row.job_id)
        if row.reason == "settlement-pending":
            closure = closure_of(recorded)
            if closure is None:
                return False
            add_closure(self._state, job, closure)
            if recorded.batch.is_older:
                self._older_closures.add(row.seq)
            return True
        if row.reason != "hire-noted" or self._claws_back(recorded, row.occurred_at):
            return False
        self._let_closures_have_returned(recorded, job, row.occurred_at)
        note_first_hire(job, row.occurred_at)
        return True

    def decide(self, trial: Trial, recorded: Recorded, waited: Recorded | None) -> None:
        """Decide what this decision answers. `waited` is the decision that parked it, if it was released.

        Raises:
            NotDue: the clock had nothing to do there.
        """
        kind = recorded.row.kind if waited is None else waited.row.kind
        if kind == "settlement":
            self._settle(trial, recorded, waited)
        elif kind == "clock" and (recorded.row.event_id or "").startswith("expiry:"):
            self._expire(trial, recorded, waited)
        elif kind == "clock":
            self._start_cycle(trial, recorded, waited)
        elif kind == "correction":
            self._correct(trial, recorded)
        elif kind == "follow-up":
            self._let_count(trial, recorded)
        else:
            self._decide_event(trial, recorded, waited)
        if waited is not None and kind != "first":
            as_follow_ups(trial.decisions, waited.row.seq)

    # Events.

    def _decide_event(self, trial: Trial, recorded: Recorded, waited: Recorded | None) -> None:
        row, state = recorded.row, self._state
        topic, payload = row.topic or "", row.payload if waited is None else waited.row.payload
        trial.event = event = recorded.event or read_event(topic, payload)
        if recorded.first is not None and waited is None:
            source = TopicPartition(topic, row.partition or 0)
            place = (source, row.incarnation or 0, row.offset or 0)
            record = InputRecord(*place, 0, None, payload, (), event, None, None, row.business_time)
            decision, _ = standard_decisions.seen_before(record, event, recorded.first, row.seq)
            trial.decisions = [decision]
            return
        job = self._state.job(JobId(event.__dict__["job_id"])) if topic in _OF_A_JOB else None
        self._take_in_what_others_decided(recorded, event, job)
        if topic in OF_PROPOSALS:
            self._others.meet_if_there(awaited_of(row))
        if topic in _NOTED:
            spends = self._spends_of(topic, event, job, recorded)
            trial.noted = before(row.seq, spends, job if topic in JOB_TOPICS else None)
        trigger = Received(event, topic, recorded.cause, row.business_time, row.seq)
        follows = None if waited is None else waited.row.seq
        decision, trial.following = decide_event_first(state, trigger, recorded.batch.policies, row.payload, follows)
        trial.decisions = [decision]
        if topic == "job-closed" and recorded.batch.is_older:
            self._older_closures.add(row.seq)
        if topic == "proposal-submitted" and job is not None and row.outcome in {"applied", "recorded"}:
            self._note_late(trigger, job, recorded)

    def _take_in_what_others_decided(self, recorded: Recorded, event: InputEvent, job: Job | None) -> None:
        """Let what other wallets decided before be in the state: their grant, their spend, what came back to them."""
        state, seq = self._state, recorded.row.seq
        if recorded.grant is not None and recorded.grant.decision_seq < seq:
            key = (recorded.grant.rule, recorded.grant.natural_key)
            known = state.grants.get(key)
            if known is None or known.decision_seq < recorded.grant.decision_seq:
                state.grants[key] = recorded.grant
        if recorded.changes:
            self._take_in_freed_keys(recorded)
        self._others.take_in(recorded)
        if job is not None:
            self._let_closures_have_returned(recorded, job, event.occurred_at)

    @staticmethod
    def _let_closures_have_returned(recorded: Recorded, job: Job, at: datetime) -> None:
        """Let the closures of a job be worked off, and have returned something, as the record of an event shows it."""
        row, is_older = recorded.row, recorded.batch.is_older
        is_hire = row.topic == "hire-made" and not recorded.is_my_job
        for closure in job.closures if is_older or is_hire else ():
            if is_older and row.business_time is not None and row.business_time >= closure.due_at:
                closure.settled = True  # nothing stored says so; in a catch-up it is
            if is_hire and closure.concerns(at):
                closure.returned_any = closure.returned_any or row.reason == "hire-after-settlement"

    def _take_in_freed_keys(self, recorded: Recorded) -> None:
        """Let natural keys be free that another wallet's grant had, which was voided: the record says how often."""
        for change in recorded.changes:
            if change.natural_key is None or AGAIN not in change.natural_key:
                continue
            key, voided = natural_key_of(change.natural_key)
            known = self._state.grants.get((change.rule, key))
            if (
                voided
                and (known is None or known.freelancer_id != change.freelancer_id)
                and (known is None or known.voided < voided)
            ):
                self._state.grants[change.rule, key] = freed_grant(change.rule, key, voided)

    def _spends_of(self, topic: str, event: InputEvent, job: Job | None, recorded: Recorded) -> Sequence[Spend | None]:
        """The spends that an event may change and movements do not say how."""
        if topic in OF_PROPOSALS:
            return [self._state.spends.get(event.__dict__["proposal_id"])]
        if topic == "hire-made" and job is not None and self._claws_back(recorded, event.occurred_at):
            return [self._state.spends[name] for name in job.proposal_ids]
        return ()

    @staticmethod
    def _claws_back(recorded: Recorded, hired_at: datetime) -> bool:
        return recorded.batch.policies.in_force(hired_at).late_hire == "claw-back"

    def _note_late(self, trigger: Received, job: Job, recorded: Recorded) -> None:
        """A spend that comes when a closure of its job is settled is settled one grace later."""
        for closure in job.closures:
            settled = closure.settled or recorded.batch.is_older or closure.decision_seq in self._older_closures
            if settled and closure.concerns(trigger.event.occurred_at):
                proposal_id = ProposalId(trigger.event.__dict__["proposal_id"])
                self.late_due[closure.decision_seq, proposal_id] = trigger.instant + self._state.grace

    def _let_count(self, trial: Trial, recorded: Recorded) -> None:
        """Decide what had waited for a proposal that another wallet submitted."""
        row, state = recorded.row, self._state
        if recorded.spend is None or row.proposal_id is None:
            raise NotDue(f"it follows decision {row.follows}, and nothing before it made that count")
        self._others.take_in(recorded)
        for awaited in self._others.awaited_here(ProposalId(row.proposal_id)):
            self._others.meet(awaited)
        trial.following = decide_awaited(
            state, ProposalId(row.proposal_id), row.business_time, row.seq, recorded.batch.policies
        )

    def _correct(self, trial: Trial, recorded: Recorded) -> None:
        """Decide a correction again, from the trigger of the plan that ordered it."""
        row, state = recorded.row, self._state
        if row.payload is None or row.business_time is None:
            raise NotDue("nothing says what it corrects")
        correction = correction_in(row.payload)
        if isinstance(correction, Undo):
            self._undo(trial, recorded, correction)
            return
        if isinstance(correction, OfADecision):
            self._correct_decision(trial, recorded, correction, correction.found)
            return
        if isinstance(correction, Decide):
            if correction.standing is None:
                raise NotDue("nothing says what stood for the decision that it amends")
            ordered = Ordered(row.business_time, row.seq, recorded.cause, row.payload)
            trial.decisions = decide_correction(state, correction, ordered, recorded.batch.policies)
            return
        subject = subject_of_correction(correction)
        spend = None if subject.proposal_id is None else state.spends.get(subject.proposal_id)
        job = None if subject.job_id is None else state.jobs.get(subject.job_id)
        if spend is None or job is None:
            raise NotDue(f"proposal {row.proposal_id} is not known, so there is nothing that it could correct")
        trial.noted = before(row.seq, [spend], job)
        ordered = Ordered(row.business_time, row.seq, recorded.cause, row.payload)
        trial.decisions = decide_correction(state, correction, ordered, recorded.batch.policies)

    def _undo(self, trial: Trial, recorded: Recorded, correction: Undo) -> None:
        """Reverse again what a plan did, by what the ledger said of it then."""
        row, state, found = recorded.row, self._state, correction.found
        if found is None or row.business_time is None or row.payload is None:
            raise NotDue("nothing says what the ledger said of the decision that it undoes")
        what = found.what
        if isinstance(what, UndoneAdd):
            self._correct_decision(trial, recorded, correction, what.what)
            return
        if isinstance(what, UndoneTold):
            self._others.tell_again(what)
        spend = None if found.proposal_id is None else state.spends.get(found.proposal_id)
        job = None if spend is None else state.jobs.get(spend.job_id)
        if isinstance(what, UndoneForgetting):
            job = state.job(JobId(found.job_id or ""))
        trial.noted = before(row.seq, [spend], job)
        ordered = Ordered(row.business_time, row.seq, recorded.cause, row.payload)
        trial.decisions = decide_correction(state, correction, ordered, recorded.batch.policies)
        if isinstance(what, UndoneSpendVoid):
            restored = spend_of(found, what)
            state.job(restored.job_id).proposal_ids.sort(key=lambda name: state.spends[name].decision_seq)
            for closure_seq in closures_missed(state, restored, what):
                self.late_due[closure_seq, restored.proposal_id] = row.business_time + state.grace

    def _correct_decision(
        self, trial: Trial, recorded: Recorded, correction: OfADecision, found: ToVoid | ToReplace | None
    ) -> None:
        """Correct again what a decision did, by what the ledger said of it then."""
        row, state = recorded.row, self._state
        if found is None or row.business_time is None or row.payload is None:
            raise NotDue("nothing says what the ledger said of the decision that it corrects")
        what = found.what if isinstance(found, ToReplace) else found
        spend = None
        if what.is_of_job:
            trial.noted = before(row.seq, [], state.job(JobId(what.job_id or "")))
        elif what.is_of_proposal:
            self._others.tell_no_more(what)
            trial.noted = before(row.seq, [state.spends.get(one.proposal_id) for one in what.awaited], None)
        elif what.is_spend:
            spend = state.spends.get(ProposalId(what.natural_key))
            job = None if spend is None else state.jobs.get(spend.job_id)
            trial.noted = before(row.seq, [spend], job)
        else:
            trial.noted = before(row.seq, [state.spends.get(name) for name in what.drawn_by], None)
            if not isinstance(correction, Replace):
                trial.noted.voided = state.grants.get((what.rule, what.natural_key))
        ordered = Ordered(row.business_time, row.seq, recorded.cause, row.payload)
        trial.decisions = decide_correction(state, correction, ordered, recorded.batch.policies)
        if spend is not None:
            self._forget_late(spend, state.jobs[spend.job_id].closures if isinstance(correction, Replace) else ())
        if what.closure_seq is not None:
            for key in [key for key in self.late_due if key[0] == what.closure_seq]:
                del self.late_due[key]

    def _forget_late(self, spend: Spend, closures: Sequence[Closure]) -> None:
        """Let a spend be due to be settled by no closure but those of these that concern it still."""
        left = {one.decision_seq for one in closures if one.concerns(spend.occurred_at)}
        for key in [key for key in self.late_due if key[1] == spend.proposal_id and key[0] not in left]:
            del self.late_due[key]

    def following(self, recorded: Recorded, trial: Trial) -> Iterable[Decision]:
        """What had waited for it. For a proposal it waits if the record says that this was submitted."""
        row, state = recorded.row, self._state
        if row.topic != "proposal-submitted" or row.proposal_id is None:
            return trial.following
        if row.outcome not in {"applied", "recorded"} or row.proposal_id not in state.spends:
            return ()
        if not self._others.awaited_here(row.proposal_id):
            return ()
        return decide_awaited(state, row.proposal_id, row.business_time, row.seq + 1, recorded.batch.policies)

    # The clock.

    def _settle(self, trial: Trial, recorded: Recorded, waited: Recorded | None) -> None:
        row, state = recorded.row, self._state
        job = state.jobs.get(JobId(row.job_id or ""))
        cause = recorded.cause
        closure = None if job is None else next((one for one in job.closures if one.cause.is_event_of(cause)), None)
        spend = state.spends.get(ProposalId(row.proposal_id or ""))
        if job is None or closure is None or spend is None or row.business_time is None:
            raise NotDue(f"no closure of job {row.job_id} and spend on it are known that it could settle")
        trial.closure, trial.noted = closure, before(row.seq, [spend], job)
        if not closure.concerns(spend.occurred_at):
            raise NotDue(f"proposal {spend.proposal_id} was submitted after the closing time")
        late = self.late_due.pop((closure.decision_seq, spend.proposal_id), None)
        if waited is None and not recorded.batch.is_older and closure.decision_seq not in self._older_closures:
            if late is None and closure.settled_through >= spend.decision_seq:
                raise NotDue(f"proposal {spend.proposal_id} was settled by this closure before")
            expected = late or closure.due_at
            if row.business_time != expected:
                raise NotDue(f"it was due on {expected.isoformat()}, not on {row.business_time.isoformat()}")
        due = SettlementDue(closure, spend, row.business_time, row.seq)
        trial.decisions = [decide_settlement(state, due, recorded.batch.policies)]

    def _expire(self, trial: Trial, recorded: Recorded, waited: Recorded | None) -> None:
        row, state = recorded.row, self._state
        lot_id = LotId((row.event_id or "").removeprefix("expiry:"))
        wallet = state.wallets.get(FreelancerId(row.freelancer_id or ""))
        if wallet is None or row.business_time is None:
            raise NotDue(f"{row.freelancer_id} has no wallet")
        lot = lot_due(wallet, lot_id, row.business_time, self._grace(recorded, waited))
        if lot is None:
            raise NotDue(f"lot {lot_id} has nothing left in it that expires then")
        trial.decisions = [decide_expiry(state, ExpiryDue(lot, row.business_time, row.seq), recorded.batch.policies)]

    def _start_cycle(self, trial: Trial, recorded: Recorded, waited: Recorded | None) -> None:
        row, state = recorded.row, self._state
        membership = state.memberships.get(FreelancerId(row.freelancer_id or ""))
        if membership is None or row.business_time is None:
            raise NotDue(f"{row.freelancer_id} has no membership")
        grace = self._grace(recorded, waited)
        if cycle_due(membership, row.business_time, grace) is None:
            raise NotDue(f"the next cycle starts on {membership.next_renewal}, so nothing is due then")
        due = CycleDue(membership, row.business_time, row.seq)
        trial.decisions, trial.following = decide_cycle_first(state, due, recorded.batch.policies)

    def _grace(self, recorded: Recorded, waited: Recorded | None) -> timedelta:
        """The grace by which clock work was due; of an older batch the one that the record itself shows."""
        batch, row = (recorded if waited is None else waited).batch, recorded.row
        if batch.grace is not None:
            return batch.grace
        return (
            timedelta(0)
            if row.business_time is None or row.occurred_at is None
            else row.business_time - row.occurred_at
        )


def grace_shown_by(recorded: Recorded) -> timedelta | None:
    """The grace that a recorded job-closed shows, for batches that did not store it."""
    row = recorded.row
    if row.reason != "settlement-pending" or row.occurred_at is None:
        return None
    due_at = due_at_of(row)
    return due_at - (row.occurred_at if row.business_time is None else max(row.occurred_at, row.business_time))
