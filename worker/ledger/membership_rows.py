"""Between memberships and the ledger's rows: memberships, their charges, and the events that are held."""

import asyncpg
import msgspec

from schemas.reading import read_event
from worker.domain.books import Held, Touched
from worker.domain.model import Charge, Membership, Promo, Suspension
from worker.ledger.rows import read_cause
from worker.ledger.store import Batch, Row

_json = msgspec.json.Encoder()
_suspensions = msgspec.json.Decoder(list[Suspension])
_promos = msgspec.json.Decoder(list[Promo])


def write_down_memberships(batch: Batch, touched: Touched) -> None:
    """Put what changed of memberships into a batch. What was held and let go within it never waits in the ledger."""
    batch.memberships = [membership_row(membership) for membership in touched.memberships.values()]
    batch.charges = [charge_row(charge) for charge in touched.charges.values()]
    done = {held.decision_seq for held in touched.held_done}
    added = {held.decision_seq for held in touched.held_added}
    batch.held = [(h.decision_seq, h.freelancer_id) for h in touched.held_added if h.decision_seq not in done]
    batch.held_done = list(done - added)


def membership_row(membership: Membership) -> Row:
    """A membership as `write_memberships` takes it."""
    earnings_at, earnings_cents = membership.earnings or (None, None)
    return (
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


def read_membership(row: asyncpg.Record) -> Membership:
    """A membership as the ledger keeps it."""
    return Membership(
        row["freelancer_id"],
        row["version"],
        row["plan"],
        row["cycle_start"],
        row["next_renewal"],
        row["downgrade_chosen_at"],
        row["upgrade_charge"],
        row["renewal_charge"],
        _suspensions.decode(row["suspensions"]),
        None if row["earnings_at"] is None else (row["earnings_at"], row["earnings_cents"]),
        _promos.decode(row["promos"]),
    )


def charge_row(charge: Charge) -> Row:
    """A charge as `write_charges` takes it; its fields are the columns."""
    return msgspec.structs.astuple(charge)


def read_charge(row: asyncpg.Record) -> Charge:
    """A charge as the ledger keeps it."""
    return Charge(*row)


def read_held(row: asyncpg.Record) -> Held:
    """A held event, read again from the payload that was kept with it."""
    event = read_event(row["topic"], row["payload"])
    return Held(row["freelancer_id"], row["decision_seq"], row["topic"], event, read_cause(row))
