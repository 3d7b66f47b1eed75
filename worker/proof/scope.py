"""Whose state is complete once a part was decided again: of these, rows of current state can be compared."""

from worker.domain.model import FreelancerId, JobId, Lot, LotId
from worker.domain.rules.expiry import EXPIRE
from worker.domain.state import State
from worker.ledger.tables import DecisionRow
from worker.proof.recorded import Recorded
from worker.proof.wallets import known_lot


class Scope:
    """The freelancers and jobs of a part, and those of them that could not be decided again to the end."""

    def __init__(self) -> None:
        self.freelancers: set[FreelancerId] = set()
        self.jobs: set[JobId] = set()
        self.stopped: set[FreelancerId] = set()
        """Freelancers of whom nothing can be executed any further."""
        self.without_membership: set[FreelancerId] = set()
        """Freelancers whose membership cannot be executed any further; their other decisions can."""
        self.stopped_jobs: set[JobId] = set()
        """Jobs of which a decision could not be executed."""
        self.ended: dict[FreelancerId, dict[LotId, Lot]] = {}
        """Lots whose expiry was booked: they are not among the wallet's any more, and their rows stay."""

    def note(self, recorded: Recorded) -> None:
        """Note whose decision it is."""
        row = recorded.row
        if recorded.is_mine and row.freelancer_id is not None:
            self.freelancers.add(row.freelancer_id)
        if recorded.is_my_job and row.job_id is not None:
            self.jobs.add(row.job_id)

    def expiring(self, state: State, row: DecisionRow) -> Lot | None:
        """The lot that a decision of the clock is about to end, if it is one."""
        if row.rule != EXPIRE:
            return None
        wallet = state.wallets.get(FreelancerId(row.freelancer_id or ""))
        if wallet is None or not (row.event_id or "").startswith("expiry:"):
            return None
        return known_lot(wallet, LotId((row.event_id or "").removeprefix("expiry:")))

    def note_expiry(self, state: State, lot: Lot) -> None:
        """Keep a lot, if it has ended now."""
        if known_lot(state.wallets[lot.freelancer_id], lot.lot_id) is None:
            self.ended.setdefault(lot.freelancer_id, {})[lot.lot_id] = lot
