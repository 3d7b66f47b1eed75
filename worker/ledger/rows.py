"""Between the domain's objects and the ledger's rows."""

from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from worker.domain.books import Awaited
from worker.domain.model import BurnOrder, Cause, Closure, Draw, Lot, LotId, Spend, SpendLine
from worker.ledger.store import Row

_json = msgspec.json.Encoder()
_draws = msgspec.json.Decoder(list[tuple[str, str, int, datetime, datetime]])


def spend_row(spend: Spend) -> Row:
    """A spend as `write_spends` takes it; draws as [line, lot, connects, issued at, expires at]."""
    draws = [
        (line.name, draw.lot.lot_id, draw.connects, draw.lot.issued_at, draw.lot.expires_at)
        for line in spend.lines
        for draw in line.draws
    ]
    base, boost = spend.base, spend.boost
    return (
        spend.proposal_id,
        spend.freelancer_id,
        spend.job_id,
        spend.decision_seq,
        spend.occurred_at,
        spend.origin,
        base.connects,
        boost.connects,
        base.debt,
        boost.debt,
        base.returned,
        boost.returned,
        spend.boost_outbid,
        spend.refunded_closing_at,
        _json.encode(draws).decode(),
        spend.withdrawn_at,
        spend.owes,
    )


def read_spend(row: asyncpg.Record) -> Spend:
    """A spend as the ledger keeps it."""
    base = SpendLine("base", row["base"], row["base_debt"], row["base_returned"])
    boost = SpendLine("boost", row["boost"], row["boost_debt"], row["boost_returned"])
    for line_name, lot_id, connects, issued_at, expires_at in _draws.decode(row["draws"]):
        line = base if line_name == "base" else boost
        line.draws.append(Draw(BurnOrder(expires_at, issued_at, LotId(lot_id)), connects))
    return Spend(
        row["proposal_id"],
        row["freelancer_id"],
        row["job_id"],
        row["decision_seq"],
        row["occurred_at"],
        row["origin"],
        base,
        boost,
        row["withdrawn_at"],
        row["boost_outbid"],
        row["refunded_closing_at"],
    )


def lot_row(lot: Lot) -> Row:
    """A lot as `write_lots` takes it."""
    order = lot.order
    return (
        order.lot_id,
        lot.freelancer_id,
        lot.source,
        order.issued_at,
        order.expires_at,
        lot.original,
        lot.remaining,
        lot.remaining > 0,
        lot.linked_to,
    )


def read_lot(row: asyncpg.Record) -> Lot:
    """A lot as the ledger keeps it."""
    order = BurnOrder(row["expires_at"], row["issued_at"], row["lot_id"])
    return Lot(order, row["freelancer_id"], row["source"], row["original"], row["remaining"], row["linked_to"])


def closure_row(closure: Closure) -> Row:
    """A closure as `write_closures` takes it."""
    cause = closure.cause
    return (
        closure.job_id,
        closure.closed_at,
        closure.kind,
        closure.decision_seq,
        cause.topic,
        cause.incarnation,
        cause.partition,
        cause.offset,
        cause.event_id,
        closure.due_at,
        closure.settled_through,
        closure.settled,
        closure.returned_any,
    )


def read_cause(row: asyncpg.Record) -> Cause:
    """The input record that a row names."""
    return Cause(row["topic"], row["event_id"], row["incarnation"], row["partition"], row["offset"])


def read_closure(row: asyncpg.Record) -> Closure:
    """A closure as the ledger keeps it."""
    return Closure(
        row["job_id"],
        row["closed_at"],
        row["closure"],
        row["decision_seq"],
        row["due_at"],
        read_cause(row),
        row["settled_through"],
        row["settled"],
        row["returned_any"],
    )


def read_awaited(row: asyncpg.Record) -> Awaited:
    """A withdrawal or outbid that waits for its proposal."""
    return Awaited(
        row["proposal_id"],
        row["decision_seq"],
        row["topic"] == "boost-outbid",
        row["freelancer_id"],
        row["job_id"],
        row["occurred_at"],
        read_cause(row),
    )


def as_uuid(value: object) -> UUID:
    """PostgreSQL's uuid as Python's, whatever class the driver made of it."""
    return UUID(str(value))
