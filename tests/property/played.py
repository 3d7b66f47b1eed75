"""Histories played through the rules, and what came of it in the shape of the ledger's tables."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from schemas.reading import read_event
from tests.kit.histories import START, Record
from tests.kit.policies import as_document, policies
from tests.kit.story import GRACE, Story
from tests.model.answers import Row
from tests.model.driver import Driver
from tests.model.ledger import Ledger
from worker.domain.decisions import Change, Decision
from worker.domain.model import Cause, Charge, Lot, Membership, Spend


def in_order(records: Sequence[Record], policy_text: str) -> list[Row]:
    """The records in the order of a catch-up, each with the business time at which it is read."""
    last = max(at for *_, at in records)
    driver = Driver(as_document(policy_text), GRACE.total_seconds(), last.replace(year=last.year + 100))
    rows = driver.run(records, lambda _topic, _key: 0, None)
    return [row for row in rows if row["kind"] == "first"]


def played(rows: Sequence[Row], policy_text: str, days_more: int = 0, until: datetime | None = None) -> Ledger:
    """Decide the records by the rules alone (repeats and what is no event are left out), and then let time pass.

    For `days_more` after the last record, or until that instant if it is later.
    """
    story = Story(policies(policy_text), start=START)
    for row in rows:
        if row["outcome"] not in {"duplicate", "rejected"}:
            story.until(row["business_time"])
            cause = Cause(row["topic"], row["event_id"], row["incarnation"], row["partition"], row["offset"])
            story.read(row["topic"], read_event(row["topic"], row["payload"]), cause, row["payload"])
    story.settled()
    story.passes(days=days_more)
    story.until(max(story.now, until or story.now))
    return as_ledger(story)


def as_ledger(story: Story) -> Ledger:
    """The story's decisions and books as rows of the tables."""
    state = story.state
    return Ledger(
        [_decision(decision) for decision in story.decisions],
        [
            {"freelancer_id": wallet.freelancer_id, "balance": wallet.balance, "version": wallet.version}
            for wallet in state.wallets.values()
        ],
        [_lot(lot) for lot in state.changed.new_lots.values()],
        [_spend(spend) for spend in state.spends.values()],
        story.now,
        [_membership(membership) for membership in state.memberships.values()],
        [_charge(charge) for charge in state.charges.values()],
    )


def _decision(decision: Decision) -> Row:
    cause, subject = decision.cause, decision.subject
    return {
        "seq": decision.seq,
        "kind": decision.kind,
        "follows": decision.follows,
        "topic": cause.topic,
        "incarnation": cause.incarnation,
        "partition": cause.partition,
        "offset": cause.offset,
        "event_id": cause.event_id,
        "occurred_at": decision.occurred_at,
        **subject._asdict(),
        "outcome": decision.outcome,
        "reason": decision.reason,
        "rule": decision.rule,
        "policy_version": decision.policy_version,
        "late_by_seconds": decision.late_by_seconds,
        "business_time": decision.business_time,
        "payload": decision.payload,
        "changes": [_change(change) for change in decision.changes],
        "membership": decision.membership and decision.membership._asdict(),
        "charge": decision.charge and _charge(decision.charge),
    }


def _change(change: Change) -> dict[str, Any]:
    names = ("freelancer_id", "version", "occurred_at", "rule", "reason", "policy_version", "delta", "debt_delta")
    return {
        **{name: getattr(change, name) for name in names},
        "balance_after": change.balance_after,
        "movements": [(move.lot_id, move.line and tuple(move.line), move.delta) for move in change.movements],
    }


def _lot(lot: Lot) -> Row:
    return {
        "lot_id": lot.lot_id,
        "freelancer_id": lot.freelancer_id,
        "source": lot.source,
        "issued_at": lot.order.issued_at,
        "expires_at": lot.expires_at,
        "original": lot.original,
        "remaining": lot.remaining,
        "open": lot.remaining > 0,
        "linked_to": lot.linked_to,
    }


def _spend(spend: Spend) -> Row:
    base, boost = spend.lines
    return {
        "proposal_id": spend.proposal_id,
        "freelancer_id": spend.freelancer_id,
        "job_id": spend.job_id,
        "decision_seq": spend.decision_seq,
        "occurred_at": spend.occurred_at,
        "origin": spend.origin,
        "base": base.connects,
        "boost": boost.connects,
        "base_debt": base.debt,
        "boost_debt": boost.debt,
        "base_returned": base.returned,
        "boost_returned": boost.returned,
        "withdrawn_at": spend.withdrawn_at,
        "owing": spend.owes,
    }


def _membership(membership: Membership) -> Row:
    names = ("freelancer_id", "version", "plan", "cycle_start", "next_renewal", "downgrade_chosen_at")
    return {
        **{name: getattr(membership, name) for name in names},
        "upgrade_charge": membership.upgrade,
        "renewal_charge": membership.renewal,
    }


def _charge(charge: Charge) -> Row:
    return {name: getattr(charge, name) for name in charge.__struct_fields__}
