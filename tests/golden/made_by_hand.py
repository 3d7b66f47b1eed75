"""Recorded decisions that no story and no event of the corpus leads to: each with the facts that its rule records."""

from datetime import UTC, date, datetime
from typing import Any, Final

from msgspec import structs

from tests.kit.policies import policies
from worker.domain.model import FreelancerId, Membership
from worker.replies.known import Applied, Closing, Hire, Known, Member
from worker.replies.recorded import ChangeMade, DecisionRecord, LotHeld, LotMoved
from worker.words.upcoming import Upcoming

AT: Final = datetime(2026, 3, 14, 9, tzinfo=UTC)
_UNTIL: Final = datetime(2027, 3, 14, 9, tzinfo=UTC)
_CHARGE: Final = {
    "charge_id": "f-1:2026-03-11:1",
    "charge": "renewal",
    "cycle_start": "2026-03-11",
    "amount_cents": 2000,
    "currency": "USD",
    "source": "payment-method",
    "attempt": 1,
}
_CLOSED: Final = {"closure": "expired", "closed_at": "2026-03-13T09:00:00Z"}
_RETURNS: Final = {"closure": "closed-by-client", "closed_at": "2026-03-13T09:00:00Z"}
_CORRECTED: Final = {"connects": 9, "base": 9, "corrected_at": "2026-03-14T09:00:00Z"}
_VOIDED: Final = {"event_id": "e-3", "occurred_at": "2026-03-03T09:00:00Z", "corrected_at": "2026-03-14T09:00:00Z"}
_AMENDED = {
    "event_id": "cycle:f-1:2026-03-10",
    "amended_rule": "grant.monthly",
    "occurred_at": "2026-03-10T00:00:00Z",
    "corrected_at": "2026-03-14T09:00:00Z",
}
_BOUGHT: Final = {**_VOIDED, "voided_rule": "grant.purchase", "purchase_id": "b-1", "connects": 40}
_REGISTERED: Final = {**_VOIDED, "voided_rule": "grant.registration", "cycle_start": "2026-03-03", "connects": 40}
_OF_P_1: Final = {"job_id": "j-1", "proposal_id": "p-1", "connects": 0}
_TOLD: Final = {"refund.job-closed-without-hire": "proposal-withdrawn", "refund.boost-outbid": "boost-outbid"}
_UNDONE: Final = {"ordered_at": "2026-03-13T09:00:00Z"}
_REPLACED: Final = {**_VOIDED, "replaced_rule": "grant.purchase", "purchase_id": "b-1"}
_COST: Final = {**_VOIDED, "replaced_rule": "spend.proposal", "proposal_id": "p-1"}
Case = tuple[str | None, str, str, dict[str, Any]]
CASES: Final[list[Case]] = [
    ("grant.registration", "declined", "nothing-to-do", {"connects": 0}),
    ("grant.certification", "declined", "nothing-to-do", {"connects": 0, "certification_id": "s-python"}),
    (
        "grant.interview",
        "applied",
        "interview-won",
        {
            "connects": 5,
            "job_id": "j-1",
            "award": 10,
            "cut_to_cap": True,
            "cap": 50,
            "days": 7,
            "granted": 45,
        },
    ),
    ("grant.monthly", "declined", "nothing-to-do", {"connects": 0, "plan": "basic", "cycle_start": "2026-03-11"}),
    ("grant.monthly", "applied", "paid-after-lapse", {**_CHARGE, "connects": 80, "paid_at": "2026-03-14T09:00:00Z"}),
    (
        "grant.monthly",
        "applied",
        "cycle-started",
        {
            "connects": 10,
            "plan": "basic",
            "cycle_start": "2026-03-11",
            "why": "chosen",
            "downgrade_chosen_at": "2026-03-01T09:00:00Z",
        },
    ),
    (
        "grant.upgrade",
        "applied",
        "upgraded",
        {
            **_CHARGE,
            "charge": "upgrade",
            "connects": 73,
            "paid": 70,
            "free": 3,
            "free_whole": 10,
            "days": 10,
            "length": 31,
            "paid_at": "2026-03-11T10:00:00Z",
            "next_renewal": "2026-04-11",
        },
    ),
    *(
        (
            f"membership.{rule}",
            "recorded",
            "awaits-cycle-start",
            {
                "waits": waits,
                "at": "2026-03-14T09:00:00Z",
                "next_renewal": "2026-03-11",
            },
        )
        for rule, waits in (
            ("earnings", "earnings-balance-updated"),
            ("promo", "promo-code-entered"),
            ("upgrade", "membership-plan-chosen"),
        )
    ),
    ("membership.renewal", "applied", "charge-retried", {**_CHARGE, "attempt": 2, "failed_at": "2026-03-14T09:00:00Z"}),
    (
        "membership.renewal",
        "applied",
        "charge-failed",
        {
            **_CHARGE,
            "lapsed": True,
            "lapsed_on": "2026-04-11",
            "next_renewal": "2026-05-11",
        },
    ),
    ("membership.upgrade", "declined", "promo-code-already-used", {"promo_code": "FIVE", "chosen": "plus"}),
    (
        "membership.upgrade",
        "declined",
        "promo-code-expired",
        {
            "promo_code": "OLD",
            "chosen": "plus",
            "valid_from": "2026-01-01T00:00:00Z",
            "valid_until": "2026-02-01T00:00:00Z",
        },
    ),
    ("refund.job-closed-without-hire", "declined", "job-expired", _CLOSED),
    ("refund.job-closed-without-hire", "declined", "free-from-invitation", _CLOSED),
    ("refund.clawed-back", "recorded", "hire-after-settlement", {"hired_at": "2026-03-12T09:00:00Z", "clawed_back": 9}),
    *(("correct.settle", "applied", "settled-anew", {**_CORRECTED, **why}) for why in (_RETURNS, {})),
    *(
        ("correct.settle", "applied", "taken-back", {**_CORRECTED, **why})
        for why in (
            {"hired_at": "2026-03-12T09:00:00Z"},
            {"withdrawn_at": "2026-03-12T09:00:00Z"},
            {"not_outbid": True},
            {},
        )
    ),
    ("correct.settle", "declined", "nothing-to-do", {"connects": 0}),
    *(
        ("correct.void", "applied", "voided", {**_BOUGHT, **what})
        for what in ({"taken": 40}, {"taken": 30, "charged_again": 10, "shortfall": 10}, {"gone": 40})
    ),
    (
        *("correct.void", "applied", "voided"),
        {**_VOIDED, "voided_rule": "spend.proposal", "proposal_id": "p-1", "connects": 9, "given": 9},
    ),
    *(
        ("correct.void", "applied", "voided", {**_VOIDED, "voided_rule": rule, **_OF_P_1, "voided_topic": topic})
        for rule, topic in _TOLD.items()
    ),
    ("correct.void", "applied", "voided", {**_REGISTERED, "taken": 40}),
    ("correct.undo", "applied", "undone", {**_REGISTERED, **_UNDONE, "undone": "void", "given": 40}),
    ("correct.void", "declined", "nothing-to-do", _BOUGHT),
    *(
        ("correct.undo", "applied", "undone", {**_BOUGHT, **_UNDONE, **what})
        for what in (
            {"undone": "add", "taken": 30, "charged_again": 10, "shortfall": 10},
            {"undone": "void", "given": 40, "graced": 40},
            {"undone": "void"},
        )
    ),
    (
        *("correct.undo", "applied", "undone"),
        {**_VOIDED, **_UNDONE, "undone": "spend", "voided_rule": "spend.proposal", "proposal_id": "p-1", "taken": 9},
    ),
    *(
        ("correct.undo", "applied", "undone", {**_VOIDED, **_UNDONE, "undone": "settle", "proposal_id": "p-1", **what})
        for what in ({"taken": 9, "debt": 9}, {"given": 4, "taken": 9})
    ),
    ("correct.undo", "declined", "nothing-to-do", {**_BOUGHT, **_UNDONE, "undone": "void"}),
    *(
        ("correct.replace", "applied", "replaced", what)
        for what in (
            {**_REPLACED, "was": 10, "connects": 40, "given": 30},
            {**_REPLACED, "was": 40, "connects": 10, "taken": 20, "charged_again": 5, "shortfall": 7, "gone": 3},
            {**_COST, "was": 6, "connects": 16, "charged": 10, "debt": 4},
            {**_COST, "was": 16, "connects": 6, "given": 10, "graced": 2},
            {**_COST, "was": 10, "connects": 10, "given": 2, "charged": 2},
            {**_REPLACED, "was": 10, "connects": 10},
        )
    ),
    ("correct.replace", "declined", "nothing-to-do", {**_REPLACED, "was": 10, "connects": 40}),
    *(
        ("correct.decide", "applied", "amended", {**_AMENDED, **what})
        for what in (
            {"connects": 80, "stood": 8, "given": 72},
            {"connects": 1, "stood": 8, "taken": 5, "shortfall": 2},
            {"connects": 7, "stood": 8, "taken": 0, "shortfall": 1},
            {"connects": 1, "stood": 8, "taken": 4, "gone": 3},
            {"connects": 9, "stood": 7, "given": 1, "set_off": 1},
            {"connects": 8, "stood": 7, "given": 0, "set_off": 1},
        )
    ),
    ("correct.decide", "declined", "nothing-to-do", {**_AMENDED, "connects": 8, "stood": 8}),
    (None, "parked", "failure-in-rule", {"error": "ZeroDivisionError"}),
    (None, "parked", "refused-by-postgresql", {"error": "value too long"}),
    (None, "parked", "waits-behind", {"scope": "wallet", "key": "f-1"}),
    (None, "rejected", "unreadable-record", {"detail": "no JSON"}),
    (None, "rejected", "batch-too-large", {"detail": "64 MiB"}),
    *(
        (None, "applied", reason, {"scope": "wallet", "key": "f-1", "actor": "kim", "why": "a test"})
        for reason in ("position-set", "on-hold", "resumed", "released", "fails-again", "worker-stopping")
    ),
    *((None, "declined", reason, {"detail": "x"}) for reason in ("not-parked", "wrong-arguments", "unknown-command")),
    (None, "declined", "command-failed", {"error": "KeyError: 'x'"}),
    (None, "applied", "outputs-adopted", {"messages": 2, "goes_on_after": 7, "actor": "kim", "why": "a test"}),
    (None, "declined", "adoption-interrupted", {"actor": "kim", "why": "a test"}),
    (None, "applied", "outputs-republished", {"messages": 3, "actor": "kim", "why": "a test"}),
    (None, "declined", "outputs-not-made-again", {"messages": 3, "actor": "kim", "why": "a test"}),
    *((None, "declined", reason, {"detail": "x"}) for reason in ("already-on-hold", "not-on-hold", "topic-on-hold")),
    *(
        (None, "applied", reason, {"plan": "ab" * 32, "first": 1, "last": 9, "actor": "kim", "why": "a test"})
        for reason in ("plan-begun", "plan-applied", "plan-stopped", "plan-closed")
    ),
    *(
        (None, "declined", reason, {"plan": "ab" * 32, "detail": "x"})
        for reason in ("plan-is-open", "plan-interrupted", "plan-refused")
    ),
    *(
        ("correct.undo", "applied", "undone", {**_AMENDED, **_UNDONE, "undone": "decide", **what})
        for what in (
            {"connects": 8, "stood": 80, "taken": 60, "shortfall": 10, "gone": 2},
            {"connects": 8, "stood": 1, "given": 5},
        )
    ),
    ("correct.undo", "applied", "undone", {**_BOUGHT, **_UNDONE, "undone": "replace", "taken": 30}),
]


def record_of(case: Case) -> DecisionRecord:
    """The decision, about f-1, j-1 and p-1."""
    rule, outcome, reason, facts = case
    subject = {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": "p-1"}
    delta = facts.get("connects", 0) * (-1 if reason == "taken-back" else 1)
    if reason == "replaced":
        delta = facts.get("given", 0) - facts.get("taken", 0) - facts.get("charged", 0)
    if reason in {"voided", "undone"}:
        delta = facts.get("given", 0) - facts.get("taken", 0)
    change = ChangeMade("f-1", 2, AT, delta, 0, 50 + delta, rule or "", reason, "", [LotMoved("f-1:2", delta, _UNTIL)])
    settles = reason in {"job-expired", "free-from-invitation"}
    return DecisionRecord(
        seq=7,
        kind="settlement" if settles else "first",
        follows=None,
        event_id="e-7",
        topic="job-closed" if settles else "connects-purchased",
        partition=0,
        offset=7,
        occurred_at=AT,
        recorded_at=AT,
        business_time=AT,
        subject=subject,
        outcome=outcome,
        reason=reason,
        rule=rule,
        policy_version="2026-01-01",
        facts=facts,
        explanation="The recorded words.",
        late_by_seconds=None,
        changes=[change] if delta and outcome == "applied" else [],
    )


def known_of(case: Case) -> Known:
    """That decision, and f-1 with a Basic membership, 90 Connects and the proposal p-1 on j-1."""
    one = record_of(case)
    refund = record_of(
        ("refund.job-closed-without-hire", "applied", "closed-without-hire", {"connects": 9, **_RETURNS})
    )
    refunded = structs.replace(refund, seq=6, kind="settlement")
    membership = Membership(FreelancerId("f-1"), 1, "basic", date(2026, 3, 11), date(2026, 4, 11))
    member = Member(
        "f-1",
        90,
        [LotHeld("f-1:1", "registration", AT, _UNTIL, 90)],
        membership,
        None,
        [Upcoming(date(2026, 4, 11), "grant", 10, "")],
        None,
        AT,
    )
    free = case[2] == "free-from-invitation"
    hires = [Hire("f-2", datetime(2026, 3, 12, 9, tzinfo=UTC))] if case[2] == "hire-after-settlement" else []
    applied = Applied(
        *("p-1", "f-1", "j-1", datetime(2026, 3, 1, 9, tzinfo=UTC), "invite" if free else "proposal"),
        *(0 if free else 9, 0, case[2] == "settled-anew", False, None, 1),
        [Closing(datetime(2026, 3, 13, 9, tzinfo=UTC), "expired", settled=True, decision_seq=2)],
        hires,
    )
    return Known(
        asked="event",
        key="e-7",
        policy=policies().versions[0],
        decisions=[refunded, one] if case[2] == "taken-back" else [one],
        applied=[applied],
        member=member,
        grace_seconds=30,
        read_until=AT,
        of_the_person=[one],
    )
