"""Between memberships and their rows: memberships, their charges, and the events that are held."""

import msgspec

from worker.domain.model import Charge, Membership, Promo, Suspension
from worker.domain.state import Changed
from worker.ledger.batch import Batch
from worker.ledger.tables import ChargeRow, HeldRow, MembershipRow

_json = msgspec.json.Encoder()
_suspensions = msgspec.json.Decoder(list[Suspension])
_promos = msgspec.json.Decoder(list[Promo])


def write_down_memberships(batch: Batch, changed: Changed) -> None:
    """Put what changed of memberships into a batch. What was held and let go within it never waits in the ledger."""
    batch.memberships = [membership_row(membership) for membership in changed.memberships.values()]
    batch.charges = [charge_row(charge) for charge in changed.charges.values()]
    done = {held.decision_seq for held in changed.held_done}
    added = {held.decision_seq for held in changed.held_added}
    batch.held = [HeldRow(h.decision_seq, h.freelancer_id) for h in changed.held_added if h.decision_seq not in done]
    batch.held_done = list(done - added)


def membership_row(membership: Membership) -> MembershipRow:
    """A membership as `write_memberships` takes it."""
    earnings_at, earnings_cents = membership.earnings or (None, None)
    return MembershipRow(
        membership.freelancer_id,
        membership.version,
        membership.plan,
        membership.cycle_start,
        membership.next_renewal,
        membership.downgrade_chosen_at,
        membership.upgrade,
        membership.renewal,
        _json.encode(membership.suspensions).decode(),
        earnings_at,
        earnings_cents,
        _json.encode(membership.promos).decode(),
    )


def read_membership(row: MembershipRow) -> Membership:
    """A membership as the ledger keeps it."""
    return Membership(
        row.freelancer_id,
        row.version,
        row.plan,
        row.cycle_start,
        row.next_renewal,
        row.downgrade_chosen_at,
        row.upgrade_charge,
        row.renewal_charge,
        _suspensions.decode(row.suspensions),
        None if row.earnings_at is None or row.earnings_cents is None else (row.earnings_at, row.earnings_cents),
        _promos.decode(row.promos),
    )


def charge_row(charge: Charge) -> ChargeRow:
    """A charge as `write_charges` takes it; its fields are the columns."""
    return ChargeRow(*msgspec.structs.astuple(charge))


def read_charge(row: ChargeRow) -> Charge:
    """A charge as the ledger keeps it."""
    return Charge(*row)
