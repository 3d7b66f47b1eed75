"""The rules themselves, and all the facts that they need."""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.model.answers import ANYTHING, Answer, Event, Row
from tests.model.memberships import Memberships
from tests.model.state import BASE, BOOST, Change, Line, Lot, Spend, State, policy_instant, years_later

if TYPE_CHECKING:
    from collections.abc import Callable

REFUND = "refund.job-closed-without-hire"


@dataclass
class Closure:
    """One closing of a job: `identity` is the job, the closing time and the kind."""

    identity: tuple[str, datetime, str]
    position: tuple[str, int, int, int]
    event_id: str
    due: datetime
    returned_anything: bool = False

    @property
    def job_id(self) -> str:
        return self.identity[0]

    @property
    def at(self) -> datetime:
        return self.identity[1]

    @property
    def kind(self) -> str:
        return self.identity[2]


@dataclass
class Owed:
    """A spend that a closure has still to decide. `dues` are when: first by the rules, then as it may be live."""

    closure: Closure
    spend: Spend
    dues: list[datetime]

    @property
    def late(self) -> bool:
        """The closure was settled before the spend was read: a settlement of its own, by key among its like."""
        return self.dues != [self.closure.due]


class Rules(Memberships):
    """One ledger's facts and wallets, moved by one trigger after the other."""

    def __init__(self, policy: dict[str, Any], grace_seconds: float) -> None:
        super().__init__()
        self.versions = sorted(policy["version"], key=lambda version: policy_instant(version["effective_from"]))
        self.grace = timedelta(seconds=grace_seconds)
        self.state = State()
        self.granted: dict[tuple[str, ...], tuple[datetime, int]] = {}
        self.interviews_of: dict[str, list[tuple[datetime, int]]] = {}
        self.withdrawals: dict[str, list[Event]] = {}
        self.waiting_outbids: dict[str, list[int]] = {}
        self.follow_ups_now: list[int] = []
        self.closures: dict[tuple[str, datetime, str], Closure] = {}
        self.closures_of: dict[str, list[Closure]] = {}
        self.closure_at: dict[tuple[str, int, int, int], Closure] = {}
        self.hires: dict[str, list[datetime]] = {}
        self.spends_on: dict[str, list[Spend]] = {}
        self.refunded_by: dict[str, list[Closure]] = {}
        self.found_refunded: dict[str, list[Closure]] = {}
        self.owed: dict[tuple[str, datetime, str], dict[str, Owed]] = {}
        self.lots_by_end: list[tuple[datetime, str]] = []
        self.clock_reached: datetime | None = None
        self.rules: dict[str, Callable[[Event, Row], Answer]] = {
            "freelancer-registered": self._registered,
            "badge-earned": self._badge_earned,
            "certification-completed": self._certified,
            "interview-won": self._interview_won,
            "connects-purchased": self._purchased,
            "connects-adjusted": self._adjusted,
            "proposal-submitted": self._proposal_submitted,
            "boost-outbid": self._boost_outbid,
            "proposal-withdrawn": self._proposal_withdrawn,
            "hire-made": self._hire_made,
            "job-closed": self._job_closed,
            **self.membership_rules,
        }

    def policy_at(self, at: datetime) -> dict[str, Any]:
        """The version in force; the earliest one also covers all time before it."""
        in_force = self.versions[0]
        for version in self.versions:
            if policy_instant(version["effective_from"]) <= at:
                in_force = version
        return in_force

    # Grants.

    def _registered(self, event: Event, row: Row) -> Answer:
        del row
        amount = self.policy_at(event["at"])["grants"]["registration"]
        answer = self._grant(
            "grant.registration", (event["freelancer_id"],), event, amount, reason="registered", source="registration"
        )
        return self.begins_by_registering(event, answer)

    def _badge_earned(self, event: Event, row: Row) -> Answer:
        del row
        rule, key = "grant.badge", (event["freelancer_id"], event["badge"])
        amount = self.policy_at(event["at"])["grants"]["badges"].get(event["badge"], 0)
        if (rule, *key) not in self.granted and amount == 0:
            return Answer("declined", "no-award-for-badge", rule)
        return self._grant(rule, key, event, amount, reason="badge-earned", source="badge")

    def _certified(self, event: Event, row: Row) -> Answer:
        del row
        rule, key = "grant.certification", (event["freelancer_id"], event["certification_id"])
        if event["kind"] == "learning-path":
            return Answer("declined", "not-a-skill-certification", rule)
        amount = self.policy_at(event["at"])["grants"]["certification"]
        return self._grant(rule, key, event, amount, reason="certified", source="certification")

    def _interview_won(self, event: Event, row: Row) -> Answer:
        del row
        rule, key = "grant.interview", (event["freelancer_id"], event["job_id"])
        grants = self.policy_at(event["at"])["grants"]
        if event["origin"] == "invite":
            return Answer("declined", "interview-from-invitation", rule)
        worth = 0
        for tier in sorted(grants["interview_tiers"], key=lambda tier: tier["from_cents"]):
            if event["client_spent_cents"] >= tier["from_cents"]:
                worth = tier["connects"]
        if event["client_hires"] <= 0 or event["client_spent_cents"] <= 0 or worth == 0:
            return Answer("declined", "client-not-established", rule)
        if (rule, *key) in self.granted:
            return Answer("declined", "already-granted", rule)
        end, start = event["at"], event["at"] - timedelta(days=grants["interview_cap_days"])
        had = self.interviews_of.setdefault(event["freelancer_id"], [])
        amount = min(worth, grants["interview_cap"] - sum(connects for at, connects in had if start < at <= end))
        if amount <= 0:
            return Answer("declined", "weekly-cap", rule)
        had.append((event["at"], amount))
        return self._grant(rule, key, event, amount, reason="interview-won", source="interview")

    def _purchased(self, event: Event, row: Row) -> Answer:
        del row
        return self._grant(
            "grant.purchase", (event["purchase_id"],), event, event["connects"], reason="purchased", source="purchase"
        )

    def _adjusted(self, event: Event, row: Row) -> Answer:
        del row
        rule, key = "adjust", (event["adjustment_id"],)
        amount, freelancer_id = event["connects"], event["freelancer_id"]
        if amount >= 0 or (rule, *key) in self.granted:
            return self._grant(rule, key, event, amount, reason="adjusted", source="adjustment")
        if sum(lot.remaining for lot in self.state.drawable(freelancer_id, event["at"])) < -amount:
            return Answer("declined", "insufficient-balance", rule)
        self.granted[rule, *key] = (event["at"], amount)
        change = self._begin(freelancer_id, event["at"], rule, "adjusted")
        rest = self.state.draw(change, -amount, event["at"])
        assert rest == 0
        return Answer("applied", "adjusted", rule, (self.state.end(change),))

    def _grant(self, rule: str, key: tuple[str, ...], event: Event, amount: int, *, reason: str, source: str) -> Answer:
        """Connects come in as a lot of their own, once for each natural key, and pay what is owed."""
        if (rule, *key) in self.granted:
            return Answer("declined", "already-granted", rule)
        if amount == 0:
            return Answer("declined", "nothing-to-do", rule)
        self.granted[rule, *key] = (event["at"], amount)
        change = self.credit(event["freelancer_id"], event["at"], amount, rule=rule, reason=reason, source=source)
        return Answer("applied", reason, rule, (change,))

    def credit(self, freelancer_id: str, at: datetime, amount: int, *, rule: str, reason: str, source: str) -> Change:
        """A lot of its own, which lives as long as the policy of that day says, and pays what is owed."""
        years = self.policy_at(at)["expiry"]["lot_lifetime_years"]
        change = self._begin(freelancer_id, at, rule, reason)
        lot = self.state.open_lot(change, source=source, amount=amount, issued_at=at, expires_at=years_later(at, years))
        self._watch_end_of([lot])
        self.state.pay_debts(change, [lot])
        return self.state.end(change)

    # Spends.

    def _proposal_submitted(self, event: Event, row: Row) -> Answer:
        rule = "spend.proposal"
        if event["proposal_id"] in self.state.spends:
            return Answer("declined", "already-spent", rule)
        invited = event["origin"] == "invite"
        lines = {
            BASE: Line(0 if invited else event["connects"]),
            BOOST: Line(0 if invited else event["boost_connects"]),
        }
        spend = Spend(
            event["proposal_id"],
            event["freelancer_id"],
            event["job_id"],
            row["seq"],
            event["at"],
            event["origin"],
            lines,
        )
        if self.policy_at(event["at"])["spends"]["overdraft"] == "decline":
            there_is = sum(lot.remaining for lot in self.state.drawable(spend.freelancer_id, event["at"]))
            if spend.cost > there_is:
                return Answer("declined", "insufficient-balance", rule)
        self._keep_spend(spend, row)
        if spend.cost == 0:
            return Answer("recorded", "free-from-invitation" if invited else "cost-nothing", rule)
        change = self._begin(spend.freelancer_id, event["at"], rule, "proposal-submitted")
        self.state.spend_line(change, spend, BASE, event["at"])
        self.state.spend_line(change, spend, BOOST, event["at"])
        return Answer("applied", "proposal-submitted", rule, (self.state.end(change),))

    def _keep_spend(self, spend: Spend, row: Row) -> None:
        self.state.keep_spend(spend)
        self.spends_on.setdefault(spend.job_id, []).append(spend)
        self.follow_ups_now = self.waiting_outbids.pop(spend.proposal_id, [])
        for closure in self.closures_of.get(spend.job_id, []):
            if spend.occurred_at <= closure.at:
                self._owe(closure, spend, self._dues(closure, row["business_time"]))

    def _owe(self, closure: Closure, spend: Spend, dues: list[datetime]) -> None:
        self.owed.setdefault(closure.identity, {})[spend.proposal_id] = Owed(closure, spend, dues)

    def _dues(self, closure: Closure, now: datetime | None) -> list[datetime]:
        """When a spend read `now` is settled for a closure that was read before it.

        With the closure, if that is still to come or under way; else one grace later. Whether a closure without
        spends had its turn already shows only when the clock has done something that was due after it.
        """
        under_way = any(owed.dues == [closure.due] for owed in self.owed.get(closure.identity, {}).values())
        if now is None or closure.due > now or under_way:
            return [closure.due]
        if self.clock_reached and self.clock_reached > closure.due:
            return [now + self.grace]
        return [now + self.grace, closure.due]

    def _boost_outbid(self, event: Event, row: Row) -> Answer:
        rule = "refund.boost-outbid"
        spend = self.state.spends.get(event["proposal_id"])
        if spend is None:
            self.waiting_outbids.setdefault(event["proposal_id"], []).append(row["seq"])
            return Answer("recorded", "unknown-proposal")
        if not _about(event, spend):
            return Answer("recorded", "proposal-mismatch")
        if spend.lines[BOOST].connects == 0:
            return Answer("declined", "no-boost", rule)
        if spend.lines[BOOST].returned:
            spend.lines[BOOST].returned_by = "outbid"
            return Answer("declined", "already-refunded", rule)
        instant = max(event["at"], row["business_time"] or event["at"])
        return self._refund(
            spend, [BOOST], rule=rule, reason="boost-outbid", at=event["at"], instant=instant, returned_by="outbid"
        )

    def _proposal_withdrawn(self, event: Event, row: Row) -> Answer:
        del row
        spend = self.state.spends.get(event["proposal_id"])
        if spend and not _about(event, spend):
            return Answer("recorded", "proposal-mismatch")
        self.withdrawals.setdefault(event["proposal_id"], []).append(event)
        refunds = self.refunded_by.get(event["proposal_id"], [])
        if any(event["at"] < closure.at for closure in refunds):
            return Answer("recorded", "withdrawal-after-settlement")
        return Answer("recorded", "withdrawal-is-not-refunded")

    def withdrawn_at(self, spend: Spend) -> datetime | None:
        """The earliest withdrawal of this proposal, of this freelancer on this job."""
        shown = [event["at"] for event in self.withdrawals.get(spend.proposal_id, []) if _about(event, spend)]
        return min(shown, default=None)

    # Closures and hires.

    def _job_closed(self, event: Event, row: Row) -> Answer:
        identity = (event["job_id"], event["at"], event["closure"])
        if identity in self.closures:
            return Answer("declined", "already-closed")
        due = max(event["at"], row["business_time"] or event["at"]) + self.grace
        position = (row["topic"], row["incarnation"], row["partition"], row["offset"])
        closure = Closure(identity, position, event["event_id"], due)
        self.closures[identity] = self.closure_at[position] = closure
        self.closures_of.setdefault(event["job_id"], []).append(closure)
        for spend in self.spends_on.get(event["job_id"], []):
            if spend.occurred_at <= closure.at:
                self._owe(closure, spend, [due])
        return Answer("recorded", "settlement-pending")

    def _hire_made(self, event: Event, row: Row) -> Answer:
        del row
        self.hires.setdefault(event["job_id"], []).append(event["at"])
        too_late = [
            closure
            for closure in self.closures_of.get(event["job_id"], [])
            if closure.returned_anything and event["at"] <= closure.at
        ]
        if not too_late:
            return Answer("recorded", "hire-noted")
        if self.policy_at(event["at"])["refunds"]["late_hire"] == "keep":
            return Answer("recorded", "hire-after-settlement")
        changes = self._claw_back(event, too_late)
        return Answer("applied" if changes else "recorded", "hire-after-settlement", ANYTHING, tuple(changes))

    def _claw_back(self, event: Event, closures: list[Closure]) -> list[Change]:
        """What these closures gave back is drawn again, wallet by wallet, in the order of their first spend.

        A boost that was outbid came back by that, and a closing before the hire that found nothing left to return
        returns it now.
        """
        again: dict[str, list[tuple[Spend, str]]] = {}
        for spend in self.spends_on[event["job_id"]]:
            theirs = [name for name in (BASE, BOOST) if spend.lines[name].returned_by in [c.identity for c in closures]]
            others = [c for c in self.found_refunded.get(spend.proposal_id, []) if not self._what_forbids(spend, c)]
            if any(closure in closures for closure in self.refunded_by.get(spend.proposal_id, [])):
                self.refunded_by[spend.proposal_id] = others[:1]
            for name in theirs:
                if others:
                    others[0].returned_anything = True
                    spend.lines[name].returned_by = others[0].identity
                else:
                    again.setdefault(spend.freelancer_id, []).append((spend, name))
        changes = []
        for freelancer_id, lines in again.items():
            change = self._begin(freelancer_id, event["at"], "refund.clawed-back", "hire-after-settlement")
            for spend, name in lines:
                spend.lines[name].returned, spend.lines[name].returned_by = False, None
                self.state.spend_line(change, spend, name, event["at"])
            changes.append(self.state.end(change))
        return changes

    def settle(self, closure: Closure, spend: Spend, instant: datetime) -> Answer:
        """One spend's part of a closure, due at `instant`."""
        refusal = self._refusal(spend, closure)
        if refusal == "already-refunded":
            self.found_refunded.setdefault(spend.proposal_id, []).append(closure)
        if refusal:
            return Answer("declined", refusal, REFUND)
        reason = {"closed-by-client": "closed-without-hire"}.get(closure.kind, "removed-by-marketplace")
        closure.returned_anything = True
        self.refunded_by.setdefault(spend.proposal_id, []).append(closure)
        return self._refund(
            spend,
            spend.open_lines,
            rule=REFUND,
            reason=reason,
            at=closure.at,
            instant=instant,
            returned_by=closure.identity,
        )

    def _refusal(self, spend: Spend, closure: Closure) -> str | None:
        """Why nothing comes back: the first line of the table that matches, or None."""
        if spend.cost == 0:
            return "free-from-invitation" if spend.origin == "invite" else "cost-nothing"
        if not spend.open_lines:
            return "already-refunded"
        return self._what_forbids(spend, closure)

    def _what_forbids(self, spend: Spend, closure: Closure) -> str | None:
        """Why this closing returns nothing of what it would find, as far as is known by now."""
        withdrawn_at = self.withdrawn_at(spend)
        if withdrawn_at and withdrawn_at < closure.at:
            return "proposal-withdrawn"
        if closure.kind == "expired":
            return "job-expired"
        if any(hired_at <= closure.at for hired_at in self.hires.get(spend.job_id, [])):
            return "somebody-was-hired"
        return None

    # Expiry.

    def expire(self, lot: Lot) -> Change:
        version = self.policy_at(lot.issued_at)["version"]
        change = self.state.begin(lot.freelancer_id, lot.expires_at, "expire.lot", "lot-expired", version)
        change.move(lot, None, -lot.remaining)
        lot.remaining = 0
        return self.state.end(change)

    # What refunds and grants share.

    def _refund(
        self,
        spend: Spend,
        names: list[str],
        *,
        rule: str,
        reason: str,
        at: datetime,
        instant: datetime,
        returned_by: object,
    ) -> Answer:
        """Cancel what the lines owe, bring back what they drew, and let that pay what else is owed."""
        refunds = self.policy_at(at)["refunds"]
        change = self._begin(spend.freelancer_id, at, rule, reason)
        self.state.cancel_debts(change, spend, names)
        holding = [lot for lot in self.state.lots_of[spend.freelancer_id] if lot.remaining]
        credited = self.state.return_draws(
            change, spend, names, refunds=refunds, instant=instant, returned_by=returned_by
        )
        self.state.pay_debts(change, credited)
        self._watch_end_of(credited)
        changes = [self.state.end(change)]
        ended = [lot for lot in credited if lot.expires_at <= instant and lot not in holding]
        changes += [self.expire(lot) for lot in ended if lot.remaining]
        return Answer("applied", reason, rule, tuple(changes))

    def _begin(self, freelancer_id: str, at: datetime, rule: str, reason: str) -> Change:
        return self.state.begin(freelancer_id, at, rule, reason, self.policy_at(at)["version"])

    def _watch_end_of(self, lots: list[Lot]) -> None:
        for lot in lots:
            entry = (lot.expires_at, lot.lot_id)
            place = bisect_left(self.lots_by_end, entry)
            if self.lots_by_end[place : place + 1] != [entry]:
                self.lots_by_end.insert(place, entry)


def _about(event: Event, spend: Spend) -> bool:
    return (event["freelancer_id"], event["job_id"]) == (spend.freelancer_id, spend.job_id)
