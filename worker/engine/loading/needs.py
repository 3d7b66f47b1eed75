"""What triggers ask about, by what they name."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from worker.domain.cards import Need
from worker.domain.model import ChargeKey, FreelancerId, JobId, Membership, ProposalId
from worker.domain.rule_catalogue import CLOCK_RULES, RULES
from worker.domain.rules.undone import ToUndo, UndoneAdd, UndoneForgetting, UndoneVoid
from worker.domain.rules.voids import ToVoid
from worker.domain.state import Held
from worker.ledger.store import CYCLE, EXPIRY, LATE_SETTLEMENT, SETTLEMENT, Appointment


class Needs:
    """Sets that keep their order, and the jobs whose proposals are asked about as well."""

    __slots__ = ("charges", "freelancers", "grants", "hired", "jobs", "memberships", "proposals", "settling")

    def __init__(
        self,
        *,
        freelancers: Iterable[FreelancerId] = (),
        jobs: Iterable[JobId] = (),
        proposals: Iterable[ProposalId] = (),
        memberships: Iterable[FreelancerId] = (),
    ) -> None:
        self.freelancers = dict.fromkeys(freelancers)
        self.jobs = dict.fromkeys(jobs)
        self.proposals = dict.fromkeys(proposals)
        self.memberships = dict.fromkeys(memberships)
        self.grants: dict[tuple[str, str], None] = {}
        self.charges: dict[ChargeKey, None] = {}
        self.settling: list[JobId] = []
        self.hired: list[JobId] = []

    def __bool__(self) -> bool:
        """Whether anything is asked about."""
        return any(self._sets())

    def leave_out(self, other: "Needs") -> bool:
        """Remove what the other already asks for; return whether anything was removed."""
        found = False
        for mine, others in zip(self._sets(), other._sets(), strict=True):  # noqa: SLF001 - of the same class
            for key in [key for key in mine if key in others]:
                del mine[key]
                found = True
        return found

    def _sets(self) -> tuple[dict[Any, None], ...]:
        return self.freelancers, self.jobs, self.proposals, self.grants, self.memberships, self.charges

    def ask_for_event(self, topic: str, named: Mapping[str, Any]) -> None:
        """What an event of that topic asks about; `named` are its fields."""
        for ask in _ASKED_BY_EVENTS[topic]:
            ask(self, named)
        card = RULES[topic]
        if card.repeat is not None:
            self.grants[card.id, card.natural_key(named)] = None

    def ask_for_clock_work(self, due: Iterable[Appointment]) -> None:
        """What these pieces of clock work ask about."""
        for appointment in due:
            subject = appointment.subject
            named = {"freelancer_id": subject, "job_id": subject, "proposal_id": appointment.key}
            for ask in _ASKED_BY_CLOCK[appointment.rank]:
                ask(self, named)

    def ask_for_correction(self, what: ToVoid | ToUndo) -> None:
        """What voiding or undoing a decision asks about, of which the ledger says this."""
        if isinstance(what, ToVoid):
            self._ask_for_void(what)
        elif isinstance(what.what, UndoneAdd):
            self._ask_for_void(what.what.what)
        else:
            self._ask_for_undo(what)

    def _ask_for_void(self, what: ToVoid) -> None:
        if what.is_of_job:
            self.jobs[JobId(what.job_id or "")] = None
            return
        self.freelancers[what.freelancer_id] = None
        self.proposals.update(dict.fromkeys(what.drawn_by))
        if what.is_of_proposal:
            self.proposals[what.awaited[0].proposal_id] = None
        elif what.is_spend:
            self.proposals[ProposalId(what.natural_key)] = None
            self.jobs[JobId(what.job_id or "")] = None
        else:
            self.grants[what.rule, what.natural_key] = None
            self.memberships |= {} if what.cycle is None else {what.freelancer_id: None}

    def _ask_for_undo(self, found: ToUndo) -> None:
        if isinstance(found.what, UndoneForgetting):
            self.jobs[JobId(found.job_id or "")] = None
            return
        self.freelancers[found.freelancer_id] = None
        if isinstance(found.what, UndoneVoid):
            self.grants[found.what.rule, found.what.natural_key] = None
            self.memberships |= {} if found.what.cycle is None else {found.freelancer_id: None}
        elif found.proposal_id is not None and found.job_id is not None:
            self.proposals[found.proposal_id] = None
            self.jobs[found.job_id] = None


def ask_for_pending(membership: Membership, waiting: Iterable[Held], asked: dict[ChargeKey, None]) -> None:
    """Ask for the charges that a membership waits for, and those that what is held of it answers."""
    for charge_id in (membership.upgrade, membership.renewal):
        if charge_id:
            asked[ChargeKey(membership.freelancer_id, charge_id)] = None
    for held in waiting:
        ask_for_answered(held, asked)


def ask_for_answered(held: Held, asked: dict[ChargeKey, None]) -> None:
    """Ask for the charge that a held event answers, if it is an answer."""
    if Need.CHARGE in RULES[held.topic].needs:
        asked[ChargeKey(held.freelancer_id, held.event.__dict__["charge_id"])] = None


def _ask_for_wallet(wanted: Needs, named: Mapping[str, Any]) -> None:
    wanted.freelancers[named["freelancer_id"]] = None


def _ask_for_job(wanted: Needs, named: Mapping[str, Any]) -> None:
    wanted.jobs[named["job_id"]] = None


def _ask_for_spends_of_job(wanted: Needs, named: Mapping[str, Any]) -> None:
    wanted.settling.append(named["job_id"])


def _ask_for_refunds_of_job(wanted: Needs, named: Mapping[str, Any]) -> None:
    wanted.hired.append(named["job_id"])


def _ask_for_proposal(wanted: Needs, named: Mapping[str, Any]) -> None:
    wanted.proposals[named["proposal_id"]] = None


def _ask_for_membership(wanted: Needs, named: Mapping[str, Any]) -> None:
    wanted.memberships[named["freelancer_id"]] = None


def _ask_for_charge(wanted: Needs, named: Mapping[str, Any]) -> None:
    wanted.charges[ChargeKey(named["freelancer_id"], named["charge_id"])] = None


_Ask = Callable[[Needs, Mapping[str, Any]], None]
_ASK: Final[Mapping[Need, _Ask]] = {
    Need.WALLET: _ask_for_wallet,
    Need.JOB: _ask_for_job,
    Need.SPENDS_OF_JOB: _ask_for_spends_of_job,
    Need.REFUNDS_OF_JOB: _ask_for_refunds_of_job,
    Need.PROPOSAL: _ask_for_proposal,
    Need.MEMBERSHIP: _ask_for_membership,
    Need.CHARGE: _ask_for_charge,
}


def _asked_for(needs: Iterable[Need]) -> tuple[_Ask, ...]:
    return tuple(_ASK[need] for need in needs)


_ASKED_BY_EVENTS: Final = {topic: _asked_for(card.needs) for topic, card in RULES.items()}
_ASKED_BY_CLOCK: Final = {
    EXPIRY: _asked_for(CLOCK_RULES["expiry"].needs),
    CYCLE: _asked_for(CLOCK_RULES["cycle"].needs),
    SETTLEMENT: _asked_for(CLOCK_RULES["settlement"].needs),
    LATE_SETTLEMENT: _asked_for((Need.JOB, Need.PROPOSAL)),  # of one proposal alone
}
