"""Deciding recorded history again, trigger by trigger, by today's rules on the recorded state.

Before each trigger the state is as the record left it. The trigger is decided by the real rules and compared; where
today's decision is another one it is taken back, and the recorded effect is applied instead. So one wrong decision is
one finding.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice, zip_longest
from typing import Final

import msgspec

from worker.domain.decisions import Decision
from worker.domain.model import FreelancerId, JobId, ProposalId
from worker.domain.policy import PolicyBook
from worker.domain.state import State
from worker.errors import WorkerError
from worker.ledger.tables import DecisionRow
from worker.proof.closures import ClosuresWorked
from worker.proof.comparing import (
    charge_differences,
    differences,
    is_of_current_state,
    lot_differences,
    opened_by,
    other_words,
    sum_differs,
    take_amount,
)
from worker.proof.findings import Cause, Difference, Finding, Tally, in_words
from worker.proof.following import DoesNotFollow, follow
from worker.proof.groups import Group, Groups, is_cycle
from worker.proof.made_good import not_made_good
from worker.proof.of_memberships import is_about_one, loses_it
from worker.proof.recorded import BatchHeader, Recorded, is_of_a_wallet, is_of_job
from worker.proof.scope import Scope
from worker.proof.triggers import NotDue, Trial, Triggers, grace_shown_by
from worker.proof.undoing import Before, before, undo
from worker.proof.unreadable import in_words as said
from worker.words.explanations import worded

_INPUTS: Final = frozenset({"rejected", "parked"})
_OF_THE_CLOCK: Final = frozenset({"settlement", "clock"})
Judge = Callable[[Recorded, Decision | None, State], None]
_AFTER_ALL: Final = 2**63
"""A place in ledger order that no decision has."""


class Again:
    """One part of a ledger, decided again: `add` its decisions in ledger order, `finish`, and read the tally.

    Then `state` is what current state should be of what `scope` names. `release` is the one that decides now, where
    current state is compared afterwards: where that release decided, a lot or charge that its row alone shows
    otherwise is a matter of that row, since the rules are the same.
    """

    def __init__(
        self,
        release: str | None = None,
        *,
        keeps_seqs: bool = False,
        policies: PolicyBook | None = None,
        judge: Judge | None = None,
        judges_others: bool = True,
        has_words: bool = True,
    ) -> None:
        """By default each decision is decided by the policy versions of then; `policies` are others.

        `has_words`: what is decided is put into words, and the tally counts the sentences that are others today.

        `judge` is called with each decision that is compared, and what today's rules decide, or None if they decide
        nothing there; the state that it is given is the one after that. With `judges_others` it sees closures and
        hires of other parts' jobs as well, which else are taken in as they were recorded.
        """
        self._release, self._policies, self._judge = release, policies, judge
        self._has_words = has_words
        self._takes_in_others = policies is None and (judge is None or not judges_others)
        self.scope = Scope()
        self.state = State(timedelta(0))
        self.tally = Tally(keeps_seqs=keeps_seqs)
        self.groups = Groups()
        self._triggers = Triggers(self.state, self.scope.freelancers)
        self._closures = ClosuresWorked()
        self._damaged_jobs: set[str] = set()
        """Jobs of which a closure or hire cannot be read: what follows of them is taken as it was recorded."""
        self._released_void: set[int] = set()
        """Triggers that were released and had no effect any more."""

    @property
    def late_settlements(self) -> Mapping[tuple[int, ProposalId], datetime]:
        """When spends that came after the settlement of a closure are due, by the closure's decision and proposal."""
        return self._triggers.late_due

    @property
    def looked_at(self) -> int:
        """How many decisions were looked at, inputs and those that could not be executed among them."""
        return self.tally.decisions + self.tally.inputs + self.tally.skipped

    def batches(self, headers: Iterable[BatchHeader]) -> None:
        """Take the headers of the batches that come next, before the first of their decisions."""
        for header in headers:
            self._closures.expect(header)
            self._released_void.update(seq for seq, _ in header.released_void)

    def add(self, recorded: Recorded) -> list[Finding]:
        """Take the next decision; returns what was found about those before it."""
        if self._policies is not None:
            recorded.batch = msgspec.structs.replace(recorded.batch, policies=self._policies)
        group = self.groups.before(recorded)
        found = [] if group is None else self._counted(group)
        self.groups.add(recorded)
        return found

    def break_off(self) -> list[Finding]:
        """Decide what has been taken so far: what comes next does not belong to it."""
        group = self.groups.last()
        return [] if group is None else self._counted(group)

    def finish(self) -> list[Finding]:
        """Decide what is left."""
        found = self.break_off()
        self._closures.pass_work(_AFTER_ALL)
        for seq in self._released_void:  # only now: what they parked may come after the header of the release
            self.groups.parked.pop(seq, None)
        return found

    # One trigger. What is found is returned in lists: a generator in each step took a tenth of the time.

    def _counted(self, group: Group) -> list[Finding]:
        first = group[0]
        self._closures.pass_work(first.row.seq)
        self.state.changed.forget()
        for recorded in group:
            self.scope.note(recorded)
        expiring = self.scope.expiring(self.state, first.row)
        found = self._decide_if_readable(group)
        for one in found:
            self.tally.add(one)
        if expiring is not None:
            self.scope.note_expiry(self.state, expiring)
        self._closures.note(self.state, first)
        self.groups.released(group)
        return found

    def _decide_if_readable(self, group: Group) -> list[Finding]:
        """Decide a trigger; one whose rows cannot be read costs what comes after it in its wallet, and no more."""
        first, counted = group[0], self.tally.decisions
        damage = first.damage or first.batch.damage
        if len(group) > 1:
            damage = damage or next((one.damage for one in group if one.damage is not None), None)
        if damage is None:
            try:
                return self._decide(group)
            except Exception as error:
                # A row that was damaged may hold anything; that a judge contradicts itself is a bug, and no damage.
                if isinstance(error, WorkerError) or (self._judge is not None and isinstance(error, AssertionError)):
                    raise
                damage = f"it cannot be read: {said(error)}"
        is_ours, was_stopped = first.is_mine or first.is_my_job, self._is_stopped(first.row)
        self.state.changed.forget()
        self.tally.skipped += len(group) if is_ours and self.tally.decisions == counted else 0
        stopped = self._stop(first, "what it did is not known")
        if is_of_job(first.row) and first.row.job_id is not None:
            self._damaged_jobs.add(first.row.job_id)
        return [_finding("inconsistent", first, damage), stopped] if is_ours and not was_stopped else []

    def _decide(self, group: Group) -> list[Finding]:
        first, row = group[0], group[0].row
        if not first.is_mine and is_of_a_wallet(row):
            return []  # another wallet's settlement or correction: all that it says of the job is noted afterwards
        if row.kind == "command" or (row.outcome in _INPUTS and row.reason != "event-id-conflict"):
            self.tally.inputs += len(group) if first.is_mine or first.is_my_job else 0
            return []
        if not (first.is_mine or first.is_my_job) and self._takes_in_others and self._triggers.take_in(group):
            return []
        if self.scope.stopped and self._is_stopped(row):
            self.tally.skipped += len(group)
            return []
        waited = self.groups.waited(group) if row.kind == "follow-up" else None
        is_unknown = row.freelancer_id in self.scope.without_membership and is_about_one(first, waited)
        if is_unknown or (row.job_id in self._damaged_jobs and (is_of_a_wallet(row) or is_of_job(row))):
            self.tally.skipped += len(group)
            return self._follow(group, Trial(Before(row.seq)))
        if first.is_mine or first.is_my_job:  # else the job's closures and hires are inputs here
            self.tally.decisions += len(group)
            self.tally.older += len(group) if first.batch.is_older else 0
        found = _too_early(first) if row.kind in _OF_THE_CLOCK else []
        if not first.id_is_known:
            found.append(_finding("inconsistent", first, "no first decision on its event id is known to the ledger"))
        found += self._try(group, Trial(Before(row.seq)), waited)
        return found

    def _try(self, group: Group, trial: Trial, waited: Recorded | None) -> list[Finding]:
        first = group[0]
        self.state.grace = first.batch.grace or grace_shown_by(first) or timedelta(0)
        try:
            self._triggers.decide(trial, first, waited)
        except NotDue as reason:
            return [_finding("not-due", first, str(reason)), *self._follow(group, trial)]
        except Exception as error:  # noqa: BLE001 - whatever fails in a rule: in the worker it would park the wallet
            return self._fails(first, error)
        return self._compare_all(group, trial, waited)

    def _compare_all(self, group: Group, trial: Trial, waited: Recorded | None) -> list[Finding]:
        """Compare step by step: the event or the parts of a cycle start; then each thing that had waited for it."""
        first, moves_on = group[0], is_about_one(group[0], waited)
        place = _first_step(group, len(trial.decisions))
        found = self._compare(group if place == len(group) else group[:place], trial, first, moves_on=moves_on)
        waiting = self._triggers.following(first, trial)
        if waiting == () and place == len(group):
            return found
        following = iter(waiting)
        while not self._is_stopped(first.row):
            if moves_on and first.row.freelancer_id in self.scope.without_membership:
                return found + self._follow(group[place:], Trial(Before(first.row.seq)))
            recorded = group[place] if place < len(group) else None
            try:
                step = self._next_step(recorded, first, following)
            except Exception as error:  # noqa: BLE001 - as above
                return found + self._fails(recorded or first, error)
            if recorded is None and not step.decisions:
                break
            found += self._compare(group[place : place + 1], step, recorded or first, moves_on=moves_on)
            place += 1
        return found

    def _next_step(self, recorded: Recorded | None, first: Recorded, following: Iterator[Decision]) -> Trial:
        """Decide the next thing that had waited, on the recorded state after the one before."""
        self._closures.keep(self.state.changed)
        self.state.changed.forget()
        proposal_id = None if recorded is None else recorded.row.proposal_id
        spend = None if proposal_id is None else self.state.spends.get(proposal_id)
        step = Trial(before((recorded or first).row.seq, [spend], None))
        step.decisions = list(islice(following, 1))
        # That it waits no more, and withdrawals, which get no follow-up, is not taken back with an outbid's effect.
        self.state.changed.awaiting_done.clear()
        if spend is not None:
            step.noted.spends[spend.proposal_id].withdrawn_at = spend.withdrawn_at
        return step

    def _compare(self, group: Group, trial: Trial, first: Recorded, *, moves_on: bool) -> list[Finding]:
        """Compare one step; where it differs, take it back and follow the record."""
        decided = worded(trial.decisions) if self._has_words else trial.decisions
        differing: list[tuple[Recorded, Decision | None, list[Difference]]] = []
        for now, recorded in zip_longest(decided, group):
            if self._judge is not None and recorded is not None:
                self._judge(recorded, now, self.state)
            if now is None:
                differing.append((recorded, None, [Difference("decision", recorded.row.reason, None)]))
            elif recorded is None:
                differing.append((first, None, [Difference("decision after it", None, now.reason)]))
            elif differs := self._differences(now, recorded):
                differing.append((recorded, now, differs))
            elif now.changes and self._has_words:
                self.tally.words += other_words(now.changes, recorded)
        return self._take_back(group, trial, differing, first, moves_on=moves_on) if differing else []

    def _take_back(
        self,
        group: Group,
        trial: Trial,
        differing: Sequence[tuple[Recorded, Decision | None, list[Difference]]],
        first: Recorded,
        *,
        moves_on: bool,
    ) -> list[Finding]:
        """Take one step back, follow the record, and give what is found; with what these differ in."""
        left = {
            recorded.row.seq: [*not_made_good(differs, now, recorded)]
            for recorded, now, differs in differing
            if now is not None
        }
        undo(self.state, trial.decisions, trial.noted)
        inconsistent = self._follow(group, trial)
        found = []
        for recorded, _, differs in differing:
            wrong = left.get(recorded.row.seq, differs)
            if wrong:  # else a correction has made the difference good
                found.append(_finding("code-changed", recorded, in_words(wrong), wrong))
        self.tally.amended += sum(not wrong for wrong in left.values())
        found += inconsistent
        moved = len(trial.decisions) != len(group) or any(loses_it(one, its) for one, _, its in differing)
        return found + self._stop_membership(first) if moves_on and moved else found

    def _differences(self, decided: Decision, recorded: Recorded) -> list[Difference]:
        """What makes the decision another one."""
        is_job = is_of_job(recorded.row)
        if self.scope.stopped:
            self._leave_out_stopped(decided, recorded)
        found = differences(decided, recorded, sums=not is_job)
        if is_job and not recorded.is_my_job:
            found = [one for one in found if one.field.startswith("changes")]
        if is_job and recorded.is_my_job:
            found += sum_differs(recorded)
        if self.state.changed.new_lots:
            for lot in opened_by(decided, self.state.changed):
                found += lot_differences(lot, recorded.lots.get(lot.lot_id))
        if self.state.changed.charges or recorded.charge is not None:
            found += self._charge_differs(recorded)
        return self._of_the_decision(recorded, found) if found else found

    def _of_the_decision(self, recorded: Recorded, differs: list[Difference]) -> list[Difference]:
        """Without what rows of current state alone show, if the rules are the same and nothing else differs."""
        return [] if self._has_todays_rules(recorded) and all(map(is_of_current_state, differs)) else differs

    def _has_todays_rules(self, recorded: Recorded) -> bool:
        return self._release is not None and recorded.batch.release == self._release

    def _leave_out_stopped(self, decided: Decision, recorded: Recorded) -> None:
        """Of a hire that took refunds back, the changes of wallets that cannot be executed any further."""
        decided.changes = [change for change in decided.changes if change.freelancer_id not in self.scope.stopped]
        for change in [change for change in recorded.changes if change.freelancer_id in self.scope.stopped]:
            recorded.changes.remove(change)
            recorded.connects_elsewhere += change.delta

    def _charge_differs(self, recorded: Recorded) -> Iterator[Difference]:
        """Compare the charge that the decision requested; where the record has another amount, that one counts."""
        seq, then = recorded.row.seq, recorded.charge
        now = next((one for one in self.state.changed.charges.values() if one.decision_seq == seq), None)
        if then is not None and then.decision_seq != seq:
            then = None
        if now is None or then is None:
            if now is not None or then is not None:
                yield Difference("charge", then and then.charge_id, now and now.charge_id)
            return
        differs = [*charge_differences(now, then)]
        if differs and not self._has_todays_rules(recorded):
            take_amount(now, then)
        yield from differs

    # Following the record.

    def _follow(self, group: Group, trial: Trial) -> list[Finding]:
        self.state.changed.forget()
        for recorded in group:
            event = trial.event if recorded is group[0] else None
            try:
                follow(self.state, recorded, event, trial.closure, recorded.row.seq)
            except DoesNotFollow as reason:
                stopped = self._stop(recorded, "its state does not follow from the record")
                return [_finding("inconsistent", recorded, str(reason)), stopped]
        return []

    def _fails(self, recorded: Recorded, error: Exception) -> list[Finding]:
        words = f"today's rule fails: {type(error).__name__}: {error}"
        stopped = self._stop(recorded, "a rule that failed may have changed it")
        return [_finding("code-changed", recorded, words), stopped]

    def _stop(self, recorded: Recorded, why: str) -> Finding:
        for change in recorded.changes:
            self.scope.stopped.add(change.freelancer_id)
        if recorded.row.freelancer_id is not None and not is_of_job(recorded.row):
            self.scope.stopped.add(FreelancerId(recorded.row.freelancer_id))
        if recorded.row.job_id is not None:
            self.scope.stopped_jobs.add(JobId(recorded.row.job_id))
        return _finding("not-executable", recorded, f"not executable from here on: {why}")

    def _stop_membership(self, recorded: Recorded) -> list[Finding]:
        if recorded.row.freelancer_id is not None:
            self.scope.without_membership.add(FreelancerId(recorded.row.freelancer_id))
        why = "what the membership was after it is not recorded in full"
        return [_finding("not-executable", recorded, f"its membership is not executable from here on: {why}")]

    def _is_stopped(self, row: DecisionRow) -> bool:
        return row.freelancer_id in self.scope.stopped and not is_of_job(row)


def _first_step(group: Group, decided: int) -> int:
    """How many recorded decisions a trigger has without those of what had waited for it."""
    row = group[0].row
    if not is_cycle(group[0]):
        return min(decided, 1)
    if row.kind == "follow-up":
        return sum(recorded.row.follows == row.follows for recorded in group)
    return sum(recorded.row.kind == "clock" for recorded in group)


def _too_early(first: Recorded) -> list[Finding]:
    """Clock work that was done before it was due."""
    row, batch = first.row, first.batch
    if row.business_time is None:
        return []
    known = [time for time in (row.running_time, batch.business_time) if time is not None]
    if not known or row.business_time <= min(known):
        return []
    early = (row.business_time - min(known)).total_seconds()
    return [_finding("not-due", first, f"it was done {early:g} s before it was due")]


def _finding(cause: Cause, recorded: Recorded, detail: str, differs: Sequence[Difference] = ()) -> Finding:
    row, batch = recorded.row, recorded.batch
    named = (row.rule, row.reason, row.freelancer_id, row.job_id)
    return Finding(cause, row.seq, batch.batch_no, batch.release, *named, detail, tuple(differs))
