"""Expiry: a lot lasts one calendar year (HP); what remains when business time passes its end is booked."""

from worker.domain.booking import Booking
from worker.domain.cards import Need, rule
from worker.domain.decisions import Fact, Subject, Verdict
from worker.domain.policy import Policy
from worker.domain.state import State
from worker.domain.triggers import ExpiryDue

EXPIRE = "expire.lot"


@rule(
    id=EXPIRE,
    on="expiry",
    event=None,
    needs=(Need.WALLET,),
    stops="wallet",
    once_per=None,
    repeat=None,
    unless=None,
    source=None,
    about=("lot_id",),
    reasons=("lot-expired",),
    found_by={},
    policy=("expiry.lot_lifetime_years",),
    then="nothing",
)
def expire(state: State, due: ExpiryDue, policy: Policy) -> Verdict:
    """Book what remains in a lot whose time is over, dated at its expiry."""
    lot = due.lot
    booking = Booking(state, state.wallets[lot.freelancer_id])
    facts: dict[str, Fact] = {
        "connects": lot.remaining,
        "source": lot.source,
        "issued_at": lot.order.issued_at,
        "expires_at": lot.expires_at,
        "lot_id": lot.lot_id,
    }
    booking.expire(lot)
    subject = Subject(lot.freelancer_id)
    change = booking.close(lot.expires_at, EXPIRE, "lot-expired", policy, subject, facts, {"lot_id": lot.lot_id})
    return Verdict("applied", "lot-expired", EXPIRE, facts, [change])
