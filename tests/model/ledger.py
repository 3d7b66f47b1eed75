"""A whole ledger, read from its tables and checked: against the model decision by decision, and against I1 to I5."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

from tests.model import validity
from tests.model.answers import Row
from tests.model.comparison import compare, trigger
from tests.model.driver import Driver
from tests.model.model import ReferenceModel
from tests.model.state import BASE, BOOST

NATURAL_KEYS = {
    "grant.registration": ("freelancer_id",),
    "grant.badge": ("freelancer_id", "badge"),
    "grant.certification": ("freelancer_id", "certification_id"),
    "grant.interview": ("freelancer_id", "job_id"),
    "grant.purchase": ("purchase_id",),
    "adjust": ("adjustment_id",),
    "spend.proposal": ("proposal_id",),
    "refund.boost-outbid": ("proposal_id",),
    "grant.upgrade": ("freelancer_id", "charge_id"),
    "grant.monthly": ("freelancer_id", "charge_id"),
}
"""The fields of the event that name a fact. Basic's monthly grant is named by its freelancer and day."""
ASKING = {"charge-requested", "charge-retried"}


@dataclass
class Ledger:
    """The tables as they are: decisions in order, each with its changes, and the state derived from them.

    Of memberships and charges those columns are compared that are there; without the tables (None) nothing is.
    """

    decisions: list[Row]
    wallets: list[Row]
    lots: list[Row]
    spends: list[Row]
    business_time: datetime | None = None
    memberships: list[Row] | None = None
    charges: list[Row] | None = None


@dataclass
class Report:
    """The checks, and every difference in words; `details` show what led to the first few of them."""

    decisions: int
    changes: int
    outcomes: Counter[str]
    differences: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        lines = [
            f"{self.decisions} decisions ({outcomes}), {self.changes} changes: {len(self.differences)} differences"
        ]
        lines += self.details
        lines += [f"- {difference}" for difference in self.differences[:200]]
        return "\n".join(lines)


async def check_ledger(
    database_url: str,
    policy: dict[str, Any],
    *,
    grace_seconds: float = 30,
    complete: bool = True,
    movements_in_order: bool = True,
    explain_first: int = 5,
    asked_for_nothing_through: int = 0,
) -> Report:
    """Read a ledger and check all of it. `complete`: everything due by its business time has to be done.

    `asked_for_nothing_through`: decisions up to there are of a release that asked for charges of 0.
    """
    ledger = await read_ledger(database_url)
    return check(
        ledger,
        policy,
        grace_seconds=grace_seconds,
        complete=complete,
        movements_in_order=movements_in_order,
        explain_first=explain_first,
        asked_for_nothing_through=asked_for_nothing_through,
    )


def check(
    ledger: Ledger,
    policy: dict[str, Any],
    *,
    grace_seconds: float = 30,
    complete: bool = True,
    movements_in_order: bool = True,
    explain_first: int = 5,
    asked_for_nothing_through: int = 0,
) -> Report:
    outcomes = Counter(row["outcome"] for row in ledger.decisions)
    report = Report(len(ledger.decisions), sum(len(row["changes"]) for row in ledger.decisions), outcomes)
    model = ReferenceModel(policy, grace_seconds)
    model.asked_for_nothing_through = asked_for_nothing_through
    for row in ledger.decisions:
        differences = compare(model.apply(row), row, movements_in_order=movements_in_order)
        if differences and len(report.details) < explain_first:
            report.details.append(_what_led_to(row, differences, ledger.decisions))
        report.differences += differences
    if complete and ledger.business_time:
        report.differences += [f"missing: {words}" for words in model.missing(ledger.business_time)]
    report.differences += _state_differences(ledger, model)
    for invariant in (_one_effect_per_fact, _one_first_decision_per_record, _sums, _limits_of_lots, _limits_of_refunds):
        report.differences += invariant(ledger)
    if all(
        version["spends"]["overdraft"] == "decline" and version["refunds"]["late_hire"] == "keep"
        for version in policy["version"]
    ):
        report.differences += _never_overdrawn(ledger)
    return report


async def read_ledger(database_url: str) -> Ledger:
    """All tables of one snapshot."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            decisions = await _rows(connection, "SELECT * FROM decisions ORDER BY seq")
            changes = await _rows(connection, "SELECT * FROM changes ORDER BY decision_seq, ordinal")
            movements = await _rows(connection, "SELECT * FROM movements ORDER BY decision_seq, ordinal, line_no")
            charges = await _rows_if_there(connection, "charges", "freelancer_id, charge_id")
            ledger = Ledger(
                with_their_effects(decisions, changes, movements, charges),
                await _rows(connection, "SELECT * FROM wallets ORDER BY freelancer_id"),
                await _rows(connection, "SELECT * FROM lots ORDER BY lot_id"),
                await _rows(connection, "SELECT * FROM spends ORDER BY proposal_id"),
                await connection.fetchval("SELECT business_time FROM batches ORDER BY batch_no DESC LIMIT 1"),
                await _rows_if_there(connection, "memberships", "freelancer_id"),
                charges,
            )
    finally:
        await connection.close()
    return ledger


def with_their_effects(
    decisions: list[Row], changes: list[Row], movements: list[Row], charges: list[Row] | None
) -> list[Row]:
    """Each decision with its changes, these with their movements, and with the charge that it asked for."""
    return _with_charges(_joined(decisions, changes, movements), charges)


async def _rows_if_there(connection: Any, table: str, key: str) -> list[Row] | None:  # noqa: ANN401
    if await connection.fetchval("SELECT to_regclass($1)", table) is None:
        return None
    return await _rows(connection, f"SELECT * FROM {table} ORDER BY {key}")  # noqa: S608


async def _rows(connection: Any, query: str) -> list[Row]:  # noqa: ANN401
    return [dict(record) for record in await connection.fetch(query)]


def _joined(decisions: list[Row], changes: list[Row], movements: list[Row]) -> list[Row]:
    moved: dict[tuple[int, int], list[Any]] = defaultdict(list)
    for row in movements:
        line = (row["proposal_id"], row["spend_line"]) if row["proposal_id"] else None
        moved[row["decision_seq"], row["ordinal"]].append((row["lot_id"], line, row["delta"]))
    changed: dict[int, list[Row]] = defaultdict(list)
    for row in changes:
        changed[row["decision_seq"]].append({**row, "movements": moved.pop((row["decision_seq"], row["ordinal"]), [])})
    joined = [{**row, "changes": changed.pop(row["seq"], [])} for row in decisions]
    assert not moved, f"movements without a change: {moved}"
    assert not changed, f"changes without a decision: {changed}"
    return joined


def _with_charges(decisions: list[Row], charges: list[Row] | None) -> list[Row]:
    """Each decision with the charge that it asked for; one of 0 is not asked for."""
    if charges is None:
        return decisions
    made = {charge["decision_seq"]: charge for charge in charges}
    return [{**row, "charge": made.get(row["seq"]) if row["reason"] in ASKING else None} for row in decisions]


def ledger_of(driver: Driver) -> Ledger:
    """The driver's decisions, in the shape of the tables."""
    state, model = driver.model.state, driver.model
    wallets = [vars(wallet) for wallet in state.wallets.values()]
    lots = [{**vars(lot), "open": lot.remaining > 0} for lot in state.lots.values()]
    charges = [vars(charge) for charge in model.charges.values()]
    return Ledger(driver.rows, wallets, lots, _spends(model), driver.business_time, _memberships(model), charges)


# The state that the decisions led to.


def _spends(model: ReferenceModel) -> list[Row]:
    return [
        {
            "proposal_id": spend.proposal_id,
            "freelancer_id": spend.freelancer_id,
            "job_id": spend.job_id,
            "decision_seq": spend.seq,
            "occurred_at": spend.occurred_at,
            "origin": spend.origin,
            "base": spend.lines[BASE].connects,
            "boost": spend.lines[BOOST].connects,
            "base_debt": spend.lines[BASE].debt,
            "boost_debt": spend.lines[BOOST].debt,
            "base_returned": spend.lines[BASE].returned,
            "boost_returned": spend.lines[BOOST].returned,
            "withdrawn_at": model.withdrawn_at(spend),
            "owing": spend.lines[BASE].debt + spend.lines[BOOST].debt > 0,
        }
        for spend in model.state.spends.values()
    ]


def _memberships(model: ReferenceModel) -> list[Row]:
    return [
        {
            "freelancer_id": membership.freelancer_id,
            "version": membership.version,
            "plan": membership.plan,
            "cycle_start": membership.cycle_start,
            "next_renewal": membership.next_renewal,
            "downgrade_chosen_at": membership.downgrade_chosen_at,
            "upgrade_charge": membership.upgrade and membership.upgrade.charge_id,
            "renewal_charge": membership.renewal and membership.renewal.charge_id,
        }
        for membership in model.memberships.values()
    ]


def _state_differences(ledger: Ledger, model: ReferenceModel) -> list[str]:
    wallets = [vars(wallet) for wallet in model.state.wallets.values() if wallet.version]
    lots = [
        {
            **{name: item for name, item in vars(lot).items() if name != "source" or item == "refund"},
            "open": lot.remaining > 0,
        }
        for lot in model.state.lots.values()
    ]
    found = _tables_differ("wallet", "freelancer_id", wallets, [row for row in ledger.wallets if row["version"]])
    found += _tables_differ("lot", "lot_id", lots, ledger.lots)
    spends = [
        {name: item for name, item in spend.items() if not (name.endswith("_returned") and spend[name[:-9]] == 0)}
        for spend in _spends(model)
    ]
    found += _tables_differ("spend", "proposal_id", spends, ledger.spends)
    if ledger.memberships is not None:
        begun = [row for row in _memberships(model) if row["cycle_start"]]
        not_begun = {row["freelancer_id"] for row in ledger.memberships if row["cycle_start"] is None}
        found += _tables_differ("membership of", "freelancer_id", begun, ledger.memberships, may_be_more=not_begun)
    if ledger.charges is not None:
        asked = [{**vars(charge), "key": key} for key, charge in model.charges.items()]
        kept = [{**row, "key": (row["freelancer_id"], row["charge_id"])} for row in ledger.charges]
        found += _tables_differ("charge", "key", asked, kept)
    return found


def _tables_differ(
    what: str, key: str, expected: list[Row], recorded: list[Row], may_be_more: set[str] | None = None
) -> list[str]:
    there = {row[key]: row for row in recorded}
    found = []
    for row in expected:
        other = there.pop(row[key], None)
        if other is None:
            found.append(f"{what} {row[key]} is missing: {row}")
            continue
        found += [
            f"{what} {row[key]}: {name} should be {item}, is {other[name]}"
            for name, item in row.items()
            if name in other and other[name] != item
        ]
    return found + [
        f"{what} {name} should not be there: {there[name]}" for name in there if name not in (may_be_more or ())
    ]


# I1 to I5, from the tables alone.


def _one_effect_per_fact(ledger: Ledger) -> list[str]:
    """I1: at most one effect for each event id, rule and wallet (and proposal or lot), and for each natural key."""
    found, facts, naturals = [], Counter[Any](), Counter[Any]()
    payloads = payloads_of(ledger.decisions)
    for row in ledger.decisions:
        for change in row["changes"]:
            about = row["proposal_id"] if row["kind"] == "settlement" else None
            lots = change["movements"][0][0] if change["rule"] == "expire.lot" else None
            facts[row["topic"], row["event_id"], change["rule"], change["freelancer_id"], about, lots] += 1
            key = natural_key(row, change, payloads)
            if key:
                naturals[key] += 1
    found += [f"I1: {count} effects of one fact: {fact}" for fact, count in facts.items() if count > 1]
    return found + [f"I1: {count} effects of one natural key: {key}" for key, count in naturals.items() if count > 1]


def payloads_of(decisions: list[Row]) -> dict[int, bytes]:
    """The payload of each decision about an event; a follow-up's is with the decision that it follows."""
    payloads: dict[int, bytes] = {}
    for row in decisions:
        payload = row["payload"] or payloads.get(row["follows"])
        if payload and row["kind"] in {"first", "follow-up"}:
            payloads[row["seq"]] = payload
    return payloads


def natural_key(row: Row, change: Row, payloads: dict[int, bytes]) -> tuple[str, ...] | None:
    """What makes a change's fact one of its kind, with its rule; None for what may happen again."""
    rule, who = change["rule"], change["freelancer_id"]
    if row["kind"] == "clock" and row["reason"] == "renewed":
        return (rule, who, f"{who}:{change['occurred_at'].date().isoformat()}:1")
    if rule == "grant.upgrade" and row["topic"] == "membership-plan-chosen":
        return (rule, who, f"{who}:{row['event_id']}:1")
    if rule == "grant.monthly" and (row["kind"] == "clock" or row["reason"] == "charge-failed"):
        return (rule, who, change["occurred_at"].date().isoformat())
    if rule in NATURAL_KEYS and row["seq"] in payloads:
        payload = json.loads(payloads[row["seq"]], parse_int=validity.whole)
        return (rule, *(payload[name] for name in NATURAL_KEYS[rule]))
    return None


def grants_of(decisions: list[Row]) -> dict[tuple[str, ...], int]:
    """Every grant and adjustment there was, by rule and natural key: what `event_time.fold` calls grants."""
    payloads = payloads_of(decisions)
    return {
        natural_key(row, change, payloads): change["delta"]
        for row in decisions
        for change in row["changes"]
        if change["rule"].startswith("grant.") or change["rule"] == "adjust"
    }


def _one_first_decision_per_record(ledger: Ledger) -> list[str]:
    """I2: each input record has exactly one decision of kind first."""
    firsts = Counter(
        (row["topic"], row["incarnation"], row["partition"], row["offset"])
        for row in ledger.decisions
        if row["kind"] == "first"
    )
    return [f"I2: {count} first decisions of {place}" for place, count in firsts.items() if count != 1]


def _sums(ledger: Ledger) -> list[str]:
    """I3: versions without a gap, changes add up to balances, and balances to lots and debts."""
    found, balances, versions = [], Counter[str](), Counter[str]()
    for row in ledger.decisions:
        for change in row["changes"]:
            freelancer_id, words = change["freelancer_id"], f"{trigger(row)}, change {change['version']}"
            moved = sum(delta for _, _, delta in change["movements"])
            debts = -sum(delta for lot_id, _, delta in change["movements"] if lot_id is None)
            balances[freelancer_id] += change["delta"]
            versions[freelancer_id] += 1
            if change["version"] != versions[freelancer_id]:
                found.append(f"I3: {words} of {freelancer_id} should have version {versions[freelancer_id]}")
            if (moved, debts) != (change["delta"], change["debt_delta"]):
                found.append(f"I3: {words} moved {moved} and {debts} of debt, but says {change}")
            if change["balance_after"] != balances[freelancer_id]:
                found.append(f"I3: {words} leaves {balances[freelancer_id]}, not {change['balance_after']}")
    held = Counter[str]()
    for lot in ledger.lots:
        held[lot["freelancer_id"]] += lot["remaining"]
    for spend in ledger.spends:
        held[spend["freelancer_id"]] -= spend["base_debt"] + spend["boost_debt"]
    for wallet in ledger.wallets:
        name = wallet["freelancer_id"]
        if not wallet["balance"] == balances[name] == held[name]:
            found.append(f"I3: {wallet} has changes of {balances[name]}, and lots less debts of {held[name]}")
    return found


def _limits_of_lots(ledger: Ledger) -> list[str]:
    """I4, at every moment: no lot below zero or above what came in, and all movements of a lot leave what remains."""
    found, remaining = [], Counter[str]()
    original = {lot["lot_id"]: lot["original"] for lot in ledger.lots}
    for row in ledger.decisions:
        for change in row["changes"]:
            for lot_id, _, delta in change["movements"]:
                if lot_id is not None:
                    remaining[lot_id] += delta
                    if not 0 <= remaining[lot_id] <= original.get(lot_id, 0):
                        found.append(f"I4: {trigger(row)} leaves {remaining[lot_id]} in lot {lot_id}")
    return found + [
        f"I4: {lot} should have {remaining[lot['lot_id']]}"
        for lot in ledger.lots
        if lot["remaining"] != remaining[lot["lot_id"]]
    ]


def _never_overdrawn(ledger: Ledger) -> list[str]:
    """I4, where policy allows no overdraft."""
    return [
        f"I4: {trigger(row)} leaves {change['freelancer_id']} with {change['balance_after']}"
        for row in ledger.decisions
        for change in row["changes"]
        if change["balance_after"] < 0
    ]


def _limits_of_refunds(ledger: Ledger) -> list[str]:
    """I5: at no moment has more come back of a proposal than it cost."""
    found, spent, back = [], Counter[str](), Counter[str]()
    boost = {spend["proposal_id"]: spend["boost"] for spend in ledger.spends}
    for row in ledger.decisions:
        proposal_id = row["proposal_id"]
        for change in row["changes"]:
            if change["rule"] == "spend.proposal":
                spent[proposal_id] -= change["delta"]
            if change["rule"] in {"refund.job-closed-without-hire", "refund.boost-outbid"}:
                back[proposal_id] += change["delta"]
                if change["rule"] == "refund.boost-outbid" and change["delta"] > boost.get(proposal_id, 0):
                    found.append(f"I5: {trigger(row)} returns more than the boost")
                beyond = back[proposal_id] - spent[proposal_id]
                if beyond > 0 and beyond > _clawed_back(ledger, row, change["freelancer_id"]):
                    found.append(f"I5: {trigger(row)}: {back[proposal_id]} came back of {spent[proposal_id]}")
    return found


def _clawed_back(ledger: Ledger, until: Row, freelancer_id: str) -> int:
    """What this wallet was drawn again for this job: a bound for each of its proposals."""
    return -sum(
        change["delta"]
        for row in ledger.decisions
        if row["seq"] < until["seq"] and row["reason"] == "hire-after-settlement" and row["job_id"] == until["job_id"]
        for change in row["changes"]
        if change["freelancer_id"] == freelancer_id
    )


# Words for the person who has to find out why.


def _what_led_to(row: Row, differences: list[str], decisions: list[Row], most: int = 40) -> str:
    names = {name: row[name] for name in ("freelancer_id", "job_id", "proposal_id") if row[name]}
    led = [
        other
        for other in decisions
        if other["seq"] <= row["seq"]
        and (
            other["seq"] == row["seq"]
            or other["freelancer_id"] == names.get("freelancer_id", "")
            or (other["job_id"] == names.get("job_id", "") and other["freelancer_id"] is None)
            or (other["topic"] == "hire-made" and other["job_id"] == names.get("job_id", ""))
        )
    ]
    lines = [*(f"* {difference}" for difference in differences), f"  what led to it ({names}):"]
    if len(led) > most:
        lines.append(f"    ... {len(led) - most} decisions before")
    return "\n".join([*lines, *(f"    {_line(other)}" for other in led[-most:])])


def _line(row: Row) -> str:
    payload = row["payload"].decode("utf-8", "replace") if row["payload"] else ""
    moved = "; ".join(
        f"v{change['version']} {change['delta']:+} = {change['balance_after']} {change['movements']}"
        for change in row["changes"]
    )
    return f"{row['business_time']} {trigger(row)} {payload} -> {row['outcome']}/{row['reason']} {moved}".rstrip()
