"""From the decisions of a plan, as they are committed to its overlay, to its triggers, wallets and numbers."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from worker.domain.decisions import Facts, Subject
from worker.engine.commit import Committed
from worker.engine.correcting import NotTried, Result
from worker.errors import UsageError
from worker.ledger.rows import facts_in
from worker.ledger.tables import ChangeRow, DecisionRow
from worker.repair.brought import expected, shortfall_of
from worker.repair.candidates import MOST_NAMED, Candidate, Candidates
from worker.repair.plan import (
    MOST_TRIGGERS,
    Added,
    Correction,
    Decide,
    Expected,
    OfADecision,
    Replace,
    Trigger,
    Undo,
    Void,
    correction_in,
    kind_of,
)
from worker.repair.summary import KINDS, Balance, Booked, Decided, Left, Step, Summary, Wallet, gain_and_lose_most
from worker.repair.undoing import NOTHING_TO_UNDO
from worker.repair.voiding import Refused
from worker.words.explanations import explain
from worker.words.plans import place_of


class _Steps:
    """What happened to one wallet: each decision with what it added to the balance."""

    __slots__ = ("added", "follows", "is_changed", "last", "steps")

    def __init__(self) -> None:
        self.steps: list[tuple[int | None, DecisionRow, str, int, str]] = []
        self.added = self.follows = 0
        self.is_changed = False
        """Whether a trigger changes it, even if its changes add up to nothing."""
        self.last: int | None = None
        """The balance after the last change; None: nothing has changed it."""


class Collected:
    """Takes the batches of a plan: first those of its triggers, then, once `clock_begins`, those of what follows."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._candidates = {one.number: one for one in candidates}
        self.triggers: list[Trigger] = []
        self.inert = self.conflicts = self.shortfall = 0
        self.nothing_to_do = self.nothing_to_void = self.nothing_to_undo = self.nothing_to_amend = 0
        self.conflicting: list[str] = []
        self.given = self.taken = self.wallet_updated = self.charges = 0
        self._is_clock = False
        self._tried = 0
        self._steps: dict[str, _Steps] = {}
        self._decided: dict[tuple[str, str, str | None], Decided] = {}
        self._booked: dict[tuple[str, str], Booked] = {}
        self._follows: dict[tuple[str, str], Booked] = {}
        self._left: dict[tuple[str, str], int] = {}
        """How many events are left out because of each parked wallet or job."""
        self._refused: Counter[Refused] = Counter()
        """How many decisions are not voided, and what waits for a person because others are."""
        self._failing: dict[tuple[str, str], str] = {}
        """Those that a failure in the plan stopped, and the failure."""

    def clock_begins(self) -> None:
        """Take what comes from now on as what the clock does afterwards."""
        self._is_clock = True

    def take(self, committed: Committed) -> None:
        """Take a batch that was committed to the overlay."""
        batch = committed.batch
        first = batch.decisions[0].seq if batch.decisions else 0
        self.charges += sum(1 for charge in batch.charges if charge.decision_seq >= first)  # others were answered
        changes: dict[int, list[ChangeRow]] = {}
        for change in batch.changes:
            changes.setdefault(change.decision_seq, []).append(change)
        for rows in _groups(batch.decisions):
            brought = [(row, changes.get(row.seq, [])) for row in rows]
            if self._is_clock:
                self._note(None, brought, self._follows)
            else:
                self._take_trigger(brought)

    def _take_trigger(self, brought: Sequence[tuple[DecisionRow, list[ChangeRow]]]) -> None:
        row = brought[0][0]
        if row.kind == "correction":
            self._add(brought, lambda number, bring: _correction(row, number, bring))
            return
        found = self._candidates[row.offset or 0]
        if row.outcome == "duplicate":  # decided by the ledger after the archives were read
            self.inert += 1
            return
        if row.outcome == "rejected":
            self.conflicts += 1
            if len(self.conflicting) < MOST_NAMED:
                what = f"event {row.event_id} of {row.topic} was decided meanwhile with other content"
                self.conflicting.append(f"{place_of(found.source, found.line)}: {what}")
            return
        if row.outcome == "parked":
            self._leave(facts_in(row.facts))
            return
        event_id, value = row.event_id or "", found.value.decode()
        named = (found.topic, event_id, value, found.source, found.line)
        self._add(brought, lambda number, bring: Added(number, *named, bring))

    def _add(
        self,
        brought: Sequence[tuple[DecisionRow, list[ChangeRow]]],
        trigger: Callable[[int, Expected], Trigger],
    ) -> None:
        """Take a trigger with what it brought; `trigger` makes it of its number and of that."""
        row, every = brought[0][0], [change for _, changes in brought for change in changes]
        self.given += sum(change.delta for change in every if change.delta > 0)
        self.taken -= sum(change.delta for change in every if change.delta < 0)
        self.wallet_updated += len(every)
        shortfall = shortfall_of(row.freelancer_id, facts_in(row.facts))
        self.shortfall += sum(shortfall.values())
        deltas = ((change.freelancer_id, change.delta) for change in every)
        bring = expected(row.outcome, row.reason, deltas, shortfall)
        number = len(self.triggers) + 1
        self.triggers.append(trigger(number, bring))
        for decided, _ in brought:
            key = (decided.outcome, decided.reason, decided.rule)
            self._decided.setdefault(key, Decided(*key)).decisions += 1
        self._note(number, brought, self._booked)

    def next_number(self) -> int:
        """The number of a correction while it is tried, which no other one has; that of its trigger is given later."""
        self._tried -= 1
        return self._tried

    def note_result(self, correction: Correction, result: Result) -> None:
        """Note a correction that was tried, and is no trigger unless it was booked."""
        if isinstance(result, Refused) and result not in NOTHING_TO_UNDO:
            self.leave(result, 1)
        elif isinstance(correction, Undo) and result != "booked" and not isinstance(result, NotTried):
            self.nothing_to_undo += 1
        elif result == "nothing-to-do" and isinstance(correction, Void | Replace):
            self.nothing_to_void += 1
        elif result == "nothing-to-do" and isinstance(correction, Decide):
            self.nothing_to_amend += 1
        elif result == "nothing-to-do":
            self.nothing_to_do += 1
        elif isinstance(result, NotTried):
            stopped = result.parked or ("wallet", correction.freelancer_id)
            self._left[stopped] = self._left.get(stopped, 0) + 1
            if result.failure is not None:
                self._failing[stopped] = result.failure

    def leave(self, refused: Refused, events: int) -> None:
        """Note events or decisions that a person has to see to."""
        self._refused[refused] += events

    def require_room(self) -> None:
        """Raise UsageError when there are more triggers than a plan may have."""
        if len(self.triggers) > MOST_TRIGGERS:
            raise UsageError(f"a plan may have {MOST_TRIGGERS:,} triggers, and there are more: make several plans")

    def _leave(self, facts: dict[str, object]) -> None:
        """Note an event whose wallet or job is parked, or whose rule fails: then later ones of it wait behind."""
        stopped = (str(facts["scope"]), str(facts["key"]))
        self._left[stopped] = self._left.get(stopped, 0) + 1
        if "error" in facts:
            self._failing[stopped] = str(facts["error"])

    def _note(
        self,
        number: int | None,
        brought: Iterable[tuple[DecisionRow, list[ChangeRow]]],
        booked: dict[tuple[str, str], Booked],
    ) -> None:
        """Note what was booked, by rule and reason and by wallet."""
        for row, changes in brought:
            for change in changes:
                one = booked.setdefault((change.rule, change.reason), Booked(change.rule, change.reason))
                one.changes += 1
                one.given += max(change.delta, 0)
                one.taken -= min(change.delta, 0)
                self._step(number, row, change)
            if row.freelancer_id and not any(change.freelancer_id == row.freelancer_id for change in changes):
                steps = self._steps.setdefault(row.freelancer_id, _Steps())
                steps.steps.append((number, row, row.reason, 0, _in_words(row)))

    def _step(self, number: int | None, row: DecisionRow, change: ChangeRow) -> None:
        steps = self._steps.setdefault(change.freelancer_id, _Steps())
        steps.steps.append((number, row, change.reason, change.delta, change.explanation))
        steps.last = change.balance_after
        if number is None:
            steps.follows += change.delta
        else:
            steps.added += change.delta
            steps.is_changed = True

    # What comes of it.

    @property
    def unchanged(self) -> list[str]:
        """Wallets that decisions name and none changes: their balances have to be asked for."""
        return [name for name, steps in self._steps.items() if steps.last is None]

    def wallets(self, balances: dict[str, int]) -> Iterator[Wallet]:
        """Every wallet, by id; `balances` are those of `unchanged`, as far as they exist."""
        for name in sorted(self._steps):
            steps = self._steps[name]
            last = balances.get(name, 0) if steps.last is None else steps.last
            before = balance = last - steps.added - steps.follows
            shown: list[Step] = []
            for number, row, reason, delta, sentence in steps.steps:
                balance += delta
                shown.append(Step(number, row.occurred_at, row.outcome, reason, delta, balance, sentence))
            yield Wallet(name, before, before + steps.added, last, shown)

    def summary(self, archives: Sequence[Candidates]) -> Summary:
        """The plan in numbers, with what was found when the archives were read."""
        conflicting = [line for one in archives for line in one.conflicting]
        changed = [
            Balance(name, steps.last - steps.added - steps.follows, steps.last - steps.follows)
            for name, steps in sorted(self._steps.items())
            if steps.is_changed and steps.last is not None
        ]
        gain_most, lose_most = gain_and_lose_most(changed)
        return Summary(
            triggers={**dict.fromkeys(KINDS, 0), **Counter(map(kind_of, self.triggers))},
            wallets=len(changed),
            wallet_updated=self.wallet_updated,
            given=self.given,
            taken=self.taken,
            shortfall=self.shortfall,
            decided=sorted(self._decided.values(), key=lambda one: (-one.decisions, one.outcome, one.reason)),
            booked=_sorted(self._booked),
            gain_most=gain_most,
            lose_most=lose_most,
            inert=sum(one.inert for one in archives) + self.inert,
            conflicts=sum(one.conflicts for one in archives) + self.conflicts,
            conflicting=[*conflicting, *self.conflicting][:MOST_NAMED],
            bad_lines=sum(one.bad_lines for one in archives),
            replaced=sum(one.replaced for one in archives),
            nothing_to_do=self.nothing_to_do,
            nothing_to_void=self.nothing_to_void,
            nothing_to_undo=self.nothing_to_undo,
            nothing_to_amend=self.nothing_to_amend,
            will_follow=_sorted(self._follows),
            charges_requested=self.charges,
            left_for_a_person=[
                *(_left(*key, events, self._failing.get(key)) for key, events in sorted(self._left.items())),
                *(Left(one.what, events, one.why, one.next) for one, events in sorted(self._refused.items())),
            ],
        )


def _correction(row: DecisionRow, number: int, bring: Expected) -> Correction:
    """The trigger of a correction, as its decision keeps it."""
    correction = correction_in(row.payload or b"")
    if isinstance(correction, OfADecision):
        return msgspec.structs.replace(correction, number=number, expected=bring, found=None)
    if isinstance(correction, Decide):
        return msgspec.structs.replace(correction, number=number, expected=bring, standing=None)
    return msgspec.structs.replace(correction, number=number, expected=bring)


def _groups(rows: Iterable[DecisionRow]) -> Iterator[list[DecisionRow]]:
    """Each decision on an event with those that had waited for it; of the clock's work each decision alone."""
    group: list[DecisionRow] = []
    for row in rows:
        if row.kind != "follow-up" and group:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _sorted(booked: dict[tuple[str, str], Booked]) -> list[Booked]:
    return sorted(booked.values(), key=lambda one: (-(one.given + one.taken), one.rule, one.reason))


def _left(scope: str, key: str, events: int, failure: str | None) -> Left:
    if failure is not None:
        why = f"the rule for one of these events fails: {failure}"
        return Left(f"{scope} {key}", events, why, "Report this failure, and plan again with a release that repairs it")
    release = f"Release it first: connects parked release {scope} {key}"
    return Left(f"{scope} {key}", events, f"the {scope} is parked", release)


def _in_words(row: DecisionRow) -> str:
    facts = facts_in(row.facts)
    known: Facts = {name: fact for name, fact in facts.items() if fact is None or isinstance(fact, str | int)}
    return explain(row.reason, row.outcome, Subject(row.freelancer_id, row.job_id, row.proposal_id), known, row.rule)
