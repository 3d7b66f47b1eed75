"""Judging decisions: which of them gave another amount than the right rules give, and which of those can be amended."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Final

import msgspec

from worker.domain.decisions import Decision
from worker.domain.model import FreelancerId, JobId, Lot, ProposalId
from worker.domain.policy import PolicyBook
from worker.domain.rules import grants, monthly, refunds
from worker.domain.rules.decides import ToAmend
from worker.domain.rules.expiry import EXPIRE
from worker.domain.rules.spends import SPEND
from worker.domain.state import State
from worker.ledger.tables import DecisionRow
from worker.proof.identity import lots_opened
from worker.proof.made_good import answers_the_same
from worker.proof.recorded import Recorded, amount_of, is_of_job, movements_of
from worker.repair.voiding import ADJUST_DIFFERENCE, NOTHING_DONE, VOIDABLE, Refused

_NOT_YET: Final = "not-decided-yet: a later release will do it"
_SELECT: Final = "Select them with `connects log find`, or with --decide found and its spans and --rule"
_HASH: Final = 16
"""How much of a policy version's hash tells versions of one name apart, in hexadecimal digits."""
CORRECTIONS: Final = Refused(
    "corrections", "a plan amends what a correction corrected, not the correction", "Select the corrected decision"
)
NOT_COMPARED: Final = Refused(
    "decisions that cannot be decided again",
    "today's rules decide nothing there, or what was recorded cannot be followed so far",
    "See `connects explain EVENT_ID --again`, and send a connects-adjusted event",
)
UNDER_A_POLICY: Final = Refused(
    "decisions that were amended by a corrected policy",
    "without that policy a plan would take the correction back",
    "Give the corrected policy with --policy",
)
AS_BOOKED: Final = Refused(
    "decisions that another policy file corrected, and for which this one gives what was booked",
    "it may be a copy of the policy that was wrong, and would take the correction back",
    "Give a file that has all corrections so far; to take one back, undo its plan",
)
PAIRED_OTHERWISE: Final = Refused(
    "decisions in whose place the right rules decide something else",
    "their amounts cannot be compared",
    "See `connects explain EVENT_ID --again`, and send a connects-adjusted event",
)
OVER: Final = Refused(
    "refunds of proposals that were voided or given other content since",
    "that took back what was open then, and the refund had brought another amount than it should have",
    "Send a connects-adjusted event for the difference",
)
_CLOSURES: Final = Refused(
    "closures that are named by their events",
    "their Connects are in the decisions that settle them, which have ids of their own",
    f"{_SELECT} refund.job-closed-without-hire",
)
_WAITED: Final = Refused(
    "events that waited, or were parked, and are named by their ids",
    "what they brought is in the decision that followed",
    _SELECT,
)
_HIRES: Final = Refused("hires that took refunds back", _NOT_YET, "Settle their jobs again, with --settle")
_GIVE_THEM: Final = Refused(
    "grants that were refused, and that the right rules make",
    f"{_NOT_YET}, with their natural keys",
    "Add the event under a new event id with --add, or send a connects-adjusted event",
)
_VOID_THEM: Final = Refused(
    "grants that the right rules refuse",
    "voided, they take back just what is left of them, and free their natural keys",
    "Void them, with `connects replay plan --void`",
)
_SETTLE_THEM: Final = Refused(
    "refunds that were refused or not due",
    "what the proposal has to get back depends on all that is known of its job",
    "Settle the jobs again, with `connects replay plan --settle`",
)
_INSTEAD: Final[Mapping[str, Refused]] = {
    SPEND: Refused("proposals", _NOT_YET, "Void the proposal, and add it under a new event id"),
    EXPIRE: Refused("expiries", _NOT_YET, ADJUST_DIFFERENCE),
    grants.INTERVIEW: Refused(
        "interviews", f"{_NOT_YET}, with the weekly sum that others depend on", ADJUST_DIFFERENCE
    ),
}
_OTHERS: Final = Refused("decisions of other kinds", _NOT_YET, ADJUST_DIFFERENCE)
_MEMBERSHIPS: Final = frozenset({grants.REGISTRATION, monthly.MONTHLY, monthly.UPGRADE})
_GRANTS: Final = frozenset({*VOIDABLE, *_MEMBERSHIPS} - {SPEND, grants.INTERVIEW})
_WAITING: Final = frozenset({"awaits-cycle-start", "unknown-proposal", "unknown-charge"})
_REFUNDS: Final = frozenset({refunds.SETTLEMENT, refunds.OUTBID})


def refusal_to_judge(row: DecisionRow) -> Refused | None:
    """Why this decision is not judged at all; None: it is."""
    if row.kind == "correction":
        return CORRECTIONS
    if is_of_job(row):
        return _HIRES if '"clawed_back"' in row.facts else NOTHING_DONE
    if row.kind == "command" or row.outcome in {"rejected", "parked", "duplicate"}:
        return NOTHING_DONE
    return None


def refusal_of_named(row: DecisionRow) -> Refused | None:
    """Why a decision is not judged that a line names by its event: its Connects are in others; None: they are not."""
    if row.outcome == "parked" or (row.outcome == "recorded" and row.reason in _WAITING):
        return _WAITED
    return _CLOSURES if row.topic == "job-closed" and row.freelancer_id is None else None


class Judging:
    """Takes every decision that is decided again; of those that are wanted, keeps the ones to amend.

    `amended` are those that a correction amended before: they are kept whatever today's verdict is.
    """

    def __init__(
        self, wants: Callable[[DecisionRow], bool], amended: Collection[int], policies: PolicyBook | None
    ) -> None:
        self._wants, self._amended = wants, amended
        versions = () if policies is None else policies.versions
        self._policies = {one.version: f"{one.version} {one.hash.hex()[:_HASH]}" for one in versions}
        self.judged: set[int] = set()
        """All that were judged."""
        self.found: dict[int, ToAmend] = {}
        self.left: dict[int, Refused] = {}
        """Those whose amount differs, and that are not amended."""

    def __call__(self, recorded: Recorded, now: Decision | None, state: State) -> None:
        """Judge one: `now` is what the right rules decide, None if nothing; `state` is the one after that."""
        row = recorded.row
        if not recorded.is_mine or not self._wants(row):
            return
        self.judged.add(row.seq)
        if now is not None and not answers_the_same(now, recorded):
            self.left[row.seq] = PAIRED_OTHERWISE
            return
        booked, verdict = amounts(recorded, now)
        if booked == verdict and row.seq not in self._amended:
            return
        rule = rule_of(recorded, now)
        refused = NOT_COMPARED if now is None else _refusal(rule, booked, verdict, (recorded, now), state)
        if refused is not None or now is None:
            self.left[row.seq] = refused or NOT_COMPARED
            return
        policy = self._policies.get(now.policy_version or "")
        self.found[row.seq] = _to_amend(recorded, rule, booked, verdict, policy)


def amounts(recorded: Recorded, now: Decision | None) -> tuple[int, int]:
    """The Connects that its freelancer got by a decision, and those that the right rules give; negative: taken."""
    return amount_of(recorded.changes, recorded), 0 if now is None else amount_of(now.changes, recorded)


def rule_of(recorded: Recorded, now: Decision | None) -> str:
    """The rule of the Connects: of a membership's decision it is a grant's."""
    mine = [change for change in recorded.changes if change.freelancer_id == recorded.row.freelancer_id]
    if mine:
        return mine[0].rule
    return now.changes[0].rule if now is not None and now.changes else recorded.row.rule or ""


def _refusal(rule: str, booked: int, verdict: int, both: tuple[Recorded, Decision], state: State) -> Refused | None:
    """Why the amount of such a decision, recorded and as it is now, is not amended; None: it is."""
    if rule in _REFUNDS:
        is_surplus = booked >= verdict >= 0 and _is_surplus(*both, state)
        return None if is_surplus else _SETTLE_THEM
    if rule not in _GRANTS:
        return _INSTEAD.get(rule, _OTHERS)
    if not booked:
        return _GIVE_THEM
    return _VOID_THEM if not verdict and rule not in _MEMBERSHIPS else None


def _is_surplus(recorded: Recorded, now: Decision, state: State) -> bool:
    """Whether every line came back that comes back by the right rules, and none that they leave open: else `--settle`.

    `state` is the one after the decision by the right rules.
    """
    spend = state.spends.get(ProposalId(recorded.row.proposal_id or ""))
    if spend is None:
        return False
    came: Counter[str] = Counter()
    for change in recorded.changes:
        for _, proposal_id, line, delta in movements_of(change):
            if proposal_id == spend.proposal_id and line is not None and delta > 0:
                came[line] += delta
    due: Counter[str] = Counter()
    for moved in (moved for change in now.changes for moved in change.movements):
        if moved.line is not None and moved.line.proposal_id == spend.proposal_id and moved.delta > 0:
            due[moved.line.line] += moved.delta
    return due <= came and not any(came[line.name] for line in spend.open_lines)


def _to_amend(recorded: Recorded, rule: str, booked: int, verdict: int, policy: str | None) -> ToAmend:
    row, lot = recorded.row, _lot_of(recorded)
    if row.freelancer_id is None or row.occurred_at is None:
        raise AssertionError(f"decision {row.seq} has no freelancer or instant")
    job_id = None if row.job_id is None else JobId(row.job_id)
    proposal_id = None if row.proposal_id is None else ProposalId(row.proposal_id)
    what = ToAmend(
        row.seq,
        rule,
        row.event_id or "",
        row.occurred_at,
        FreelancerId(row.freelancer_id),
        job_id,
        proposal_id,
        booked,
        verdict,
        policy,
    )
    if lot is None:
        return what
    return msgspec.structs.replace(what, lot=lot.lot_id, source=lot.source, expires_at=lot.expires_at)


def _lot_of(recorded: Recorded) -> Lot | None:
    """The lot that its Connects entered, if it opened one."""
    opened = (lot_id for change in recorded.changes if change.delta > 0 for lot_id in lots_opened(change))
    return next((lot for lot_id in opened if (lot := recorded.lots.get(lot_id)) is not None), None)
