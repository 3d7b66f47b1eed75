"""Expiry: a lot's Connects live one calendar year (HP); what remains when business time passes that is booked."""

from worker.domain.booking import Booking
from worker.domain.books import Books
from worker.domain.decisions import Fact, Subject, Verdict
from worker.domain.policy import Policy
from worker.domain.triggers import ExpiryDue

EXPIRE = "expire.lot"


def expire(books: Books, due: ExpiryDue, policy: Policy) -> Verdict:
    """Book what remains in a lot whose time is over, dated at its expiry."""
    lot = due.lot
    booking = Booking(books, books.wallets[lot.freelancer_id])
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
