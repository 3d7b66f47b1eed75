"""What triggers ask about, by what they name."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from worker.domain.model import ChargeKey, FreelancerId, JobId, ProposalId
from worker.domain.rules import grants
from worker.ledger.store import CYCLE, EXPIRY, LATE_SETTLEMENT, Appointment

CHARGE_SETTLED: Final = "membership-charge-settled"

_NATURAL_KEYS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "freelancer-registered": (grants.REGISTRATION, ("freelancer_id",)),
    "badge-earned": (grants.BADGE, ("freelancer_id", "badge")),
    "certification-completed": (grants.CERTIFICATION, ("freelancer_id", "certification_id")),
    "interview-won": (grants.INTERVIEW, ("freelancer_id", "job_id")),
    "connects-purchased": (grants.PURCHASE, ("purchase_id",)),
    "connects-adjusted": (grants.ADJUST, ("adjustment_id",)),
}
"""The rule of the grant that an event asks for, and the fields of its natural key."""

_NEEDS_MEMBERSHIP: Final = frozenset(
    {
        "account-reinstated",
        "account-suspended",
        "earnings-balance-updated",
        "freelancer-registered",
        CHARGE_SETTLED,
        "membership-plan-chosen",
        "promo-code-entered",
    }
)
_NEEDS_JOB: Final = frozenset({"job-closed", "hire-made", "proposal-submitted"})
_NEEDS_PROPOSAL: Final = frozenset({"proposal-submitted", "proposal-withdrawn", "boost-outbid"})


class Wanted:
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

    def leave_out(self, other: "Wanted") -> bool:
        """Ask no more about what the other asks about; gives whether that was anything."""
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
        if topic == "job-closed":
            self.settling.append(named["job_id"])
        else:
            self.freelancers[named["freelancer_id"]] = None
        if topic in _NEEDS_JOB:
            self.jobs[named["job_id"]] = None
            if topic == "hire-made":
                self.hired.append(named["job_id"])
        if topic in _NEEDS_PROPOSAL:
            self.proposals[named["proposal_id"]] = None
        if topic in _NATURAL_KEYS:
            self.grants[_natural_key(topic, named)] = None
        if topic in _NEEDS_MEMBERSHIP:
            self.memberships[named["freelancer_id"]] = None
            if topic == CHARGE_SETTLED:
                self.charges[ChargeKey(named["freelancer_id"], named["charge_id"])] = None

    def ask_for_clock_work(self, due: Iterable[Appointment]) -> None:
        """What these pieces of clock work ask about."""
        for appointment in due:
            self._ask_for(appointment)

    def _ask_for(self, appointment: Appointment) -> None:
        if appointment.rank in {EXPIRY, CYCLE}:
            self.freelancers[FreelancerId(appointment.subject)] = None
            if appointment.rank == CYCLE:
                self.memberships[FreelancerId(appointment.subject)] = None
            return
        self.jobs[JobId(appointment.subject)] = None
        if appointment.rank == LATE_SETTLEMENT:
            self.proposals[ProposalId(appointment.key)] = None
        else:
            self.settling.append(JobId(appointment.subject))


def _natural_key(topic: str, named: Mapping[str, str]) -> tuple[str, str]:
    rule, names = _NATURAL_KEYS[topic]
    return rule, "/".join([named[name] for name in names])
