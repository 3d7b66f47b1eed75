"""Replacements: an event came with wrong content; what differs under its right content is booked, as one net change.

Decided on the wallet as it is now and dated now. The decision keeps its place and its natural key: only the difference
is given or taken. Sources: ours (domain.md, Corrections).
"""

from bisect import insort
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from schemas.proposals import ProposalSubmitted
from worker.domain.booking import GIVES_BACK_BY, Booking, burn_order, debt_order
from worker.domain.cards import part, sources
from worker.domain.decisions import Change, Fact, Subject, Verdict
from worker.domain.draws import split_draws
from worker.domain.model import ProposalId, Spend, SpendLine
from worker.domain.policy import Policy
from worker.domain.rules.refunds import SETTLEMENT
from worker.domain.rules.spends import lines_of
from worker.domain.rules.voids import ToVoid, stands
from worker.domain.state import State

REPLACE = "correct.replace"
REPLACED, NOTHING = "replaced", "nothing-to-do"


class ToReplace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision whose event is to have other content, with what the ledger says became of it.

    `was` is the content that counted until now, as it came.
    """

    what: ToVoid
    was: str


class Worth(NamedTuple):
    """What a grant, a purchase or an adjustment brings by its right content, in Connects, and until when."""

    connects: int
    expires_at: datetime


@part(
    id=REPLACE,
    once_per=None,
    source=None,
    reasons=(REPLACED, NOTHING),
    found_by={},
    policy=(*GIVES_BACK_BY, "corrections.least_life_days"),
)
def replace(state: State, what: ToVoid, worth: Worth, at: datetime, policy: Policy) -> Verdict:
    """Give or take, at the instant `at`, what a grant, a purchase or an adjustment is worth more or less.

    `shortfall` is what should be taken and is not there.
    """
    facts = _facts(what, worth.connects, at)
    if not stands(state, what):
        return Verdict("declined", NOTHING, REPLACE, facts)
    booking = Booking(state, state.wallet(what.freelancer_id))
    difference = worth.connects - what.connects
    if difference > 0:
        least = at + policy.least_life
        expires_at = max(worth.expires_at, least) if worth.connects > 0 else least
        linked_to = what.lots[0] if what.lots else None
        booking.credit(difference, sources[what.rule], at, expires_at, linked_to)
        facts["given"] = difference
    elif difference < 0:
        _take(state, booking, what, -difference, at, facts)
    closed = (at, REPLACE, REPLACED, policy, what.subject, facts, what.about)
    changes = [] if booking.is_empty else [booking.close(*closed)]
    return Verdict("applied", REPLACED, REPLACE, facts, changes)


def replace_spend(state: State, what: ToVoid, event: ProposalSubmitted, at: datetime, policy: Policy) -> Verdict:
    """Charge or return, at the instant `at`, what a proposal costs more or less; what came back stays so.

    From then on it was submitted when the right content says.
    """
    new = lines_of(event)
    facts = _facts(what, sum(line.connects for line in new), at)
    facts |= {line.name: line.connects for line in new}
    if not stands(state, what):
        return Verdict("declined", NOTHING, REPLACE, facts)
    spend = state.spends[ProposalId(what.natural_key)]
    returning, charging = _amend(spend, new, what)
    _move_in_time(state, spend, event)
    state.changed.spends[spend.proposal_id] = spend
    given, charged = sum(line.connects for line in returning), sum(more for _, more in charging)
    facts |= _net(given, charged)
    subject, changes = Subject.of_spend(spend), list[Change]()
    booking = Booking(state, state.wallet(spend.freelancer_id))
    if returning:
        booking.give_back(spend, returning, at, policy, sources[SETTLEMENT], policy.least_life)
        if booking.graced:
            facts["graced"] = booking.graced
    if given and given == charged:  # no change is of 0, so each line has one of its own
        changes.append(booking.close(at, REPLACE, REPLACED, policy, subject, facts, what.about))
        booking = Booking(state, booking.wallet)
    for line, more in charging:
        booking.spend_more(spend, line, more, at)
    if not booking.is_empty:
        changes.append(booking.close(at, REPLACE, REPLACED, policy, subject, facts, what.about))
    if charging and spend.owes:
        facts["debt"] = spend.base.debt + spend.boost.debt
    return Verdict("applied", REPLACED, REPLACE, facts, changes)


def _facts(what: ToVoid, connects: int, at: datetime) -> dict[str, Fact]:
    """What both have: `connects` is what the event is worth, or costs, by its right content, `was` until now."""
    return {
        "event_id": what.event_id,
        "replaced_rule": what.rule,
        "occurred_at": what.occurred_at,
        "corrected_at": at,
        "connects": connects,
        "was": abs(what.connects) if what.is_spend else what.connects,
        **what.about,
    }


def _net(given: int, charged: int) -> dict[str, Fact]:
    """What comes back or is charged on balance; both, if the lines change and the sum does not."""
    if given == charged:
        return {"given": given, "charged": charged} if given else {}
    return {"given": given - charged} if given > charged else {"charged": charged - given}


# Taking from a grant.


def _take(state: State, booking: Booking, what: ToVoid, connects: int, at: datetime, facts: dict[str, Fact]) -> None:
    """Take Connects of a grant: what expired of it, what is left in its lots, what lines drew, what debits drew.

    Beyond what it ever brought, as an adjustment that is a debit now, they are taken in burn order.
    """
    lots = frozenset(what.lots)
    mine = [lot for lot in booking.wallet.lots if lot.lot_id in lots]
    spends = [spend for name in what.drawn_by if (spend := state.spends.get(name)) is not None]
    drawn = sum(
        draw.connects for spend in spends for line in spend.open_lines for draw in line.draws if draw.lot.lot_id in lots
    )
    expired = max(0, what.connects - sum(lot.remaining for lot in mine) - drawn - what.debited)
    gone = min(connects, expired)
    left = connects - gone
    for lot in sorted(mine, key=burn_order, reverse=True):
        left -= booking.take_out_of(lot, left)
    charged_again = 0
    for spend in sorted(spends, key=debt_order, reverse=True):
        for line in reversed(spend.open_lines):
            if charged_again < left:
                charged_again += booking.draw_from_others(spend, line, lots, at, left - charged_again)
    left -= charged_again
    shortfall = booking.take(left, at) if left else 0
    facts["taken"] = connects - gone - shortfall
    counted = {"charged_again": charged_again, "shortfall": shortfall, "gone": gone}
    facts |= {name: value for name, value in counted.items() if value}


# Of a spend.


def amend_what_came_back(spend: Spend, new: Sequence[SpendLine], what: ToVoid) -> None:
    """Let lines that came back, or would have by now, cost what is right; nothing is booked for them.

    Those are also a line of nothing on a spend that came back, and a boost that was outbid when there was none.
    """
    named = (spend.freelancer_id, spend.job_id)
    if new[1].connects and any(one.is_outbid and (one.freelancer_id, one.job_id) == named for one in what.awaited):
        spend.boost_outbid = True
    for line, right in zip(spend.lines, new, strict=True):
        came_back = spend.refunded_closing_at is not None or (line is spend.boost and spend.boost_outbid)
        if line.returned or (not line.connects and right.connects and came_back):
            line.connects, line.returned = right.connects, True


def _amend(spend: Spend, new: Sequence[SpendLine], what: ToVoid) -> tuple[list[SpendLine], list[tuple[SpendLine, int]]]:
    """Let the lines cost what is right; returns what comes back, as lines of their own, and what is charged more."""
    amend_what_came_back(spend, new, what)
    returning, charging = list[SpendLine](), list[tuple[SpendLine, int]]()
    for line, right in zip(spend.lines, new, strict=True):
        more, line.connects = right.connects - line.connects, right.connects
        if more > 0:
            charging.append((line, more))
        elif more < 0:
            returning.append(_taken_off(line, -more))
    return returning, charging


def _taken_off(line: SpendLine, connects: int) -> SpendLine:
    """A line of so many Connects of this one: first its debt, then what it drew last, which it would not have drawn."""
    debt = min(line.debt, connects)
    line.debt -= debt
    line.draws, drawn = split_draws(line.draws, connects - debt)
    return SpendLine(line.name, connects, debt, draws=drawn)


def _move_in_time(state: State, spend: Spend, event: ProposalSubmitted) -> None:
    """Let a spend have been made when its event says; debts are paid in the order of that."""
    spend.origin = event.origin
    if spend.occurred_at == event.occurred_at:
        return
    owing = state.wallet(spend.freelancer_id).owing
    owed = spend in owing
    if owed:
        owing.remove(spend)
    spend.occurred_at = event.occurred_at
    if owed:
        insort(owing, spend, key=debt_order)
