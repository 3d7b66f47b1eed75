from datetime import UTC, datetime, timedelta, timezone

import pytest

from worker.domain.decisions import Fact, Subject
from worker.domain.rule_catalogue import CARDS
from worker.words.explanations import explain, job_not_closed

CLOSED = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)
HIRED = datetime(2026, 3, 10, tzinfo=UTC)
JOINED = datetime(2025, 1, 31, 23, 59, tzinfo=UTC)
ABOUT_A_PROPOSAL = Subject("f-1", "j-1", "p-1")
ABOUT_A_JOB = Subject(job_id="j-1")
ABOUT_A_FREELANCER = Subject("f-1")
NOBODY = Subject()

Case = tuple[str, str, Subject, dict[str, Fact], str]
WORDED: list[Case] = [
    (
        "settled-anew",
        "applied",
        ABOUT_A_PROPOSAL,
        {"connects": 12, "base": 12, "closed_at": HIRED, "closure": "removed-by-marketplace", "corrected_at": CLOSED},
        (
            "12 Connects returned on 14 March 2026, as a correction: job j-1 was removed by the marketplace on 10 "
            "March 2026, and the Connects of proposal p-1 had not come back."
        ),
    ),
    (
        "settled-anew",
        "applied",
        ABOUT_A_PROPOSAL,
        {"connects": 1, "boost": 1, "corrected_at": CLOSED, "graced": 1},
        (
            "1 Connect returned on 14 March 2026, as a correction: the boost of proposal p-1 for job j-1 was outbid, "
            "and had not come back. 1 of them got a later expiry date: the old one was near, or over."
        ),
    ),
    (
        "taken-back",
        "applied",
        ABOUT_A_PROPOSAL,
        {"connects": 12, "base": 12, "hired_at": HIRED, "corrected_at": CLOSED, "debt": 1},
        (
            "12 Connects taken back on 14 March 2026, as a correction: somebody had been hired for job j-1 on 10 March "
            "2026, before it was closed. 1 of them was not there: the wallet owes that many."
        ),
    ),
    (
        "taken-back",
        "applied",
        ABOUT_A_PROPOSAL,
        {"connects": 12, "base": 12, "withdrawn_at": HIRED, "corrected_at": CLOSED},
        (
            "12 Connects taken back on 14 March 2026, as a correction: proposal p-1 had been withdrawn on 10 March "
            "2026, before job j-1 was closed."
        ),
    ),
    (
        "taken-back",
        "applied",
        ABOUT_A_PROPOSAL,
        {"connects": 12, "base": 12, "corrected_at": CLOSED},
        (
            "12 Connects taken back on 14 March 2026, as a correction: no closing of job j-1 returns the Connects of "
            "proposal p-1."
        ),
    ),
    (
        "nothing-to-do",
        "declined",
        ABOUT_A_PROPOSAL,
        {"rule": "correct.settle", "connects": 0},
        "Nothing to correct: what came back of proposal p-1 is what is known of job j-1 now.",
    ),
    (
        "closed-without-hire",
        "applied",
        ABOUT_A_PROPOSAL,
        {"connects": 12, "closed_at": CLOSED, "closure": "closed-by-client"},
        "12 Connects returned: the client closed job j-1 without hiring anyone.",
    ),
    (
        "closed-without-hire",
        "applied",
        ABOUT_A_PROPOSAL,
        {"connects": 12, "closed_at": CLOSED, "graced": 4},
        (
            "12 Connects returned: the client closed job j-1 without hiring anyone. "
            "4 of them got a later expiry date: the old one was near, or over."
        ),
    ),
    (
        "removed-by-marketplace",
        "applied",
        ABOUT_A_PROPOSAL,
        {"connects": 1, "closed_at": CLOSED},
        "1 Connect returned: the marketplace removed job j-1.",
    ),
    (
        "proposal-submitted",
        "applied",
        ABOUT_A_PROPOSAL,
        {"base": 4, "boost": 0, "origin": "proposal"},
        "4 Connects spent on proposal p-1 for job j-1.",
    ),
    (
        "proposal-submitted",
        "applied",
        ABOUT_A_PROPOSAL,
        {"base": 4, "boost": 3, "origin": "proposal", "debt": 2},
        (
            "7 Connects spent on proposal p-1 for job j-1: 4 for the proposal and 3 for its boost. "
            "2 of them were not in the wallet: the next Connects that come in pay for them first."
        ),
    ),
    (
        "interview-won",
        "applied",
        ABOUT_A_PROPOSAL,
        {"connects": 5, "job_id": "j-1"},
        "5 Connects granted: the interview for job j-1 was won with a proposal.",
    ),
    (
        "interview-won",
        "applied",
        ABOUT_A_PROPOSAL,
        {"connects": 5, "job_id": "j-1", "award": 10, "cut_to_cap": True, "cap": 50, "days": 7, "granted": 45},
        (
            "5 Connects granted: the interview for job j-1 was won with a proposal. It would have been 10, "
            "but interviews bring at most 50 Connects in 7 days, and 45 had been granted already."
        ),
    ),
    (
        "lot-expired",
        "applied",
        ABOUT_A_FREELANCER,
        {"connects": 10, "source": "registration", "issued_at": JOINED, "expires_at": JOINED.replace(year=2026)},
        (
            "10 Connects expired on 31 January 2026: they came in on 31 January 2025 (registration) "
            "and were not used in time."
        ),
    ),
    (
        "lot-expired",
        "applied",
        ABOUT_A_FREELANCER,
        {"connects": 10, "expires_at": JOINED},
        "10 Connects expired on 31 January 2025: their time was over.",
    ),
    (
        "somebody-was-hired",
        "declined",
        ABOUT_A_PROPOSAL,
        {"closed_at": CLOSED, "hired_at": HIRED},
        (
            "No Connects returned: somebody was hired for job j-1 on 10 March 2026, before it was closed on 14 "
            "March 2026. Connects come back when the client closes the job without hiring anyone, or when the "
            "marketplace removes it before anyone is hired."
        ),
    ),
    (
        "somebody-was-hired",
        "declined",
        ABOUT_A_PROPOSAL,
        {"closed_at": CLOSED, "hired_at": HIRED, "closure": "removed-by-marketplace"},
        (
            "No Connects returned: somebody was hired for job j-1 on 10 March 2026, before it was removed by the "
            "marketplace on 14 March 2026. Connects come back when the client closes the job without hiring anyone, "
            "or when the marketplace removes it before anyone is hired."
        ),
    ),
    (
        "job-expired",
        "declined",
        ABOUT_A_PROPOSAL,
        {"closed_at": CLOSED},
        (
            "No Connects returned: job j-1 expired on 14 March 2026; the client did not close it. "
            "Connects come back when the client closes the job without hiring anyone, "
            "or when the marketplace removes it before anyone is hired."
        ),
    ),
    (
        "proposal-withdrawn",
        "declined",
        ABOUT_A_PROPOSAL,
        {"withdrawn_at": HIRED, "closed_at": CLOSED},
        (
            "No Connects returned: proposal p-1 was withdrawn on 10 March 2026, before job j-1 was closed on 14 March "
            "2026. Withdrawing a proposal does not return its Connects."
        ),
    ),
    (
        "already-refunded",
        "declined",
        ABOUT_A_PROPOSAL,
        {"connects": 4},
        "Nothing more to return: 4 Connects of proposal p-1 came back before.",
    ),
    (
        "free-from-invitation",
        "recorded",
        ABOUT_A_PROPOSAL,
        {},
        "No Connects spent: proposal p-1 answers an invitation to job j-1, which is free.",
    ),
    (
        "free-from-invitation",
        "declined",
        ABOUT_A_PROPOSAL,
        {},
        "Nothing to return: proposal p-1 answered an invitation and cost no Connects.",
    ),
    (
        "cost-nothing",
        "recorded",
        ABOUT_A_PROPOSAL,
        {},
        "No Connects spent: proposal p-1 for job j-1 costs none.",
    ),
    ("cost-nothing", "declined", ABOUT_A_PROPOSAL, {}, "Nothing to return: proposal p-1 cost no Connects."),
    (
        "settlement-pending",
        "recorded",
        ABOUT_A_JOB,
        {"closure": "closed-by-client", "closed_at": CLOSED, "due_at": CLOSED + timedelta(seconds=30)},
        (
            "Noted: job j-1 was closed by the client on 14 March 2026. "
            "What comes back is decided for each proposal from 09:30:30 UTC on 14 March 2026 on."
        ),
    ),
    (
        "already-closed",
        "declined",
        ABOUT_A_JOB,
        {"closure": "expired", "closed_at": CLOSED},
        "Nothing to do: it is known already that job j-1 expired on 14 March 2026. This repeats it.",
    ),
    (
        "hire-noted",
        "recorded",
        ABOUT_A_JOB,
        {"hired_at": HIRED},
        (
            "Noted: somebody was hired for job j-1 on 10 March 2026. "
            "If the job is closed after that, Connects spent on it do not come back."
        ),
    ),
    (
        "hire-after-settlement",
        "recorded",
        ABOUT_A_JOB,
        {"hired_at": HIRED},
        (
            "Noted: somebody had been hired for job j-1 on 10 March 2026, before it was closed. "
            "That became known only after Connects had been returned; freelancers keep them."
        ),
    ),
    (
        "hire-after-settlement",
        "recorded",
        ABOUT_A_JOB,
        {"hired_at": HIRED, "clawed_back": 24},
        (
            "Noted: somebody had been hired for job j-1 on 10 March 2026, before it was closed. "
            "That became known only after Connects had been returned; 24 Connects taken back."
        ),
    ),
    (
        "hire-after-settlement",
        "applied",
        ABOUT_A_PROPOSAL,
        {"connects": 12, "hired_at": HIRED},
        (
            "12 Connects taken back: somebody had been hired for job j-1 on 10 March 2026, before it was closed. "
            "That became known only after the refund."
        ),
    ),
    (
        "withdrawal-is-not-refunded",
        "recorded",
        ABOUT_A_PROPOSAL,
        {"withdrawn_at": HIRED},
        (
            "No Connects returned: proposal p-1 was withdrawn on 10 March 2026. "
            "Withdrawing a proposal does not return its Connects."
        ),
    ),
    (
        "withdrawal-after-settlement",
        "recorded",
        ABOUT_A_PROPOSAL,
        {"withdrawn_at": HIRED, "closed_at": CLOSED},
        (
            "Noted: proposal p-1 was withdrawn on 10 March 2026, which became known only after its Connects had been "
            "returned for the closing of job j-1 on 14 March 2026. They stay returned."
        ),
    ),
    (
        "boost-outbid",
        "applied",
        ABOUT_A_PROPOSAL,
        {"connects": 3},
        (
            "3 Connects returned: the boost of proposal p-1 for job j-1 was outbid "
            "before the client did anything with the proposal."
        ),
    ),
    (
        "no-boost",
        "declined",
        ABOUT_A_PROPOSAL,
        {},
        "Nothing to return: proposal p-1 has no boost that could be outbid.",
    ),
    (
        "unknown-proposal",
        "recorded",
        ABOUT_A_PROPOSAL,
        {},
        "Noted: proposal p-1 has not reached us yet. If it has a boost, that comes back as soon as it does.",
    ),
    (
        "proposal-mismatch",
        "recorded",
        ABOUT_A_PROPOSAL,
        {"proposal_freelancer_id": "f-2", "proposal_job_id": "j-1"},
        "No effect: proposal p-1 is another freelancer's.",
    ),
    (
        "proposal-mismatch",
        "recorded",
        ABOUT_A_PROPOSAL,
        {"proposal_freelancer_id": "f-1", "proposal_job_id": "j-2"},
        "No effect: proposal p-1 is for job j-2, not for job j-1.",
    ),
    ("registered", "applied", ABOUT_A_FREELANCER, {"connects": 40}, "40 Connects granted for registering."),
    (
        "badge-earned",
        "applied",
        ABOUT_A_FREELANCER,
        {"connects": 30, "badge": "rising-talent"},
        "30 Connects granted for the badge rising-talent.",
    ),
    (
        "certified",
        "applied",
        ABOUT_A_FREELANCER,
        {"connects": 20, "certification_id": "python"},
        "20 Connects granted for the certification python.",
    ),
    (
        "purchased",
        "applied",
        ABOUT_A_FREELANCER,
        {"connects": 100, "purchase_id": "b-1"},
        "100 Connects bought with purchase b-1.",
    ),
    (
        "adjusted",
        "applied",
        ABOUT_A_FREELANCER,
        {"connects": 10, "adjustment_id": "a-1", "actor": "support-7", "note": "goodwill, see ticket 12"},
        "10 Connects added by support-7: goodwill, see ticket 12.",
    ),
    (
        "adjusted",
        "applied",
        ABOUT_A_FREELANCER,
        {"connects": -10, "adjustment_id": "a-1", "actor": "support-7", "note": "Booked twice!"},
        "10 Connects taken off by support-7: Booked twice!",
    ),
    (
        "already-granted",
        "declined",
        ABOUT_A_FREELANCER,
        {"rule": "grant.badge", "granted_at": HIRED, "connects": 30, "badge": "rising-talent"},
        (
            "Nothing granted: the badge rising-talent brought 30 Connects on 10 March 2026 already; it is granted only "
            "once."
        ),
    ),
    (
        "already-granted",
        "declined",
        ABOUT_A_FREELANCER,
        {"rule": "grant.registration", "granted_at": HIRED, "connects": 40},
        "Nothing granted: registering brought 40 Connects on 10 March 2026 already; it is granted only once.",
    ),
    (
        "already-granted",
        "declined",
        ABOUT_A_FREELANCER,
        {"rule": "adjust", "granted_at": HIRED, "connects": -5, "adjustment_id": "a-1"},
        "Nothing done: adjustment a-1 was booked on 10 March 2026 already. It counts once.",
    ),
    (
        "no-award-for-badge",
        "declined",
        ABOUT_A_FREELANCER,
        {"badge": "top-rated"},
        "Nothing granted: the badge top-rated brings no Connects.",
    ),
    (
        "not-a-skill-certification",
        "declined",
        ABOUT_A_FREELANCER,
        {"certification_id": "upwork-101"},
        "Nothing granted: upwork-101 is a learning path. Only skill certifications bring Connects.",
    ),
    (
        "interview-from-invitation",
        "declined",
        ABOUT_A_PROPOSAL,
        {"job_id": "j-1"},
        (
            "Nothing granted: the interview for job j-1 came from an invitation. "
            "Only interviews won with a proposal bring Connects."
        ),
    ),
    (
        "client-not-established",
        "declined",
        ABOUT_A_PROPOSAL,
        {"client_hires": 0, "client_spent_cents": 0},
        (
            "Nothing granted: the client of job j-1 had not hired anybody before. "
            "Interviews bring Connects when the client has hired and paid somebody."
        ),
    ),
    (
        "client-not-established",
        "declined",
        ABOUT_A_PROPOSAL,
        {"client_hires": 2, "client_spent_cents": 0},
        (
            "Nothing granted: the client of job j-1 had not spent anything before. "
            "Interviews bring Connects when the client has hired and paid somebody."
        ),
    ),
    (
        "client-not-established",
        "declined",
        ABOUT_A_PROPOSAL,
        {"client_hires": 2, "client_spent_cents": 5},
        (
            "Nothing granted: the client of job j-1 had spent $0.05 before, which is not enough for an interview to "
            "bring Connects."
        ),
    ),
    (
        "weekly-cap",
        "declined",
        ABOUT_A_PROPOSAL,
        {"cap": 50, "days": 7, "granted": 50},
        (
            "Nothing granted for the interview for job j-1: interviews bring at most 50 Connects in 7 days, "
            "and 50 were granted already."
        ),
    ),
    (
        "client-not-established",
        "declined",
        ABOUT_A_PROPOSAL,
        {"client_hires": 2, "client_spent_cents": 5},
        (
            "Nothing granted: the client of job j-1 had spent $0.05 before, which is not enough for an interview to "
            "bring Connects."
        ),
    ),
    (
        "weekly-cap",
        "declined",
        ABOUT_A_PROPOSAL,
        {"cap": 50, "days": 1, "granted": 50},
        (
            "Nothing granted for the interview for job j-1: interviews bring at most 50 Connects in 1 day, "
            "and 50 were granted already."
        ),
    ),
    ("nothing-to-do", "declined", ABOUT_A_FREELANCER, {}, "Nothing to do: the amount is 0 Connects."),
    (
        "insufficient-balance",
        "declined",
        ABOUT_A_PROPOSAL,
        {"connects": 6, "balance": 4},
        "Not booked: proposal p-1 costs 6 Connects, but only 4 were available.",
    ),
    (
        "insufficient-balance",
        "declined",
        ABOUT_A_FREELANCER,
        {"connects": -6, "balance": 4, "adjustment_id": "a-1"},
        "Not booked: 6 Connects would be deducted, but only 4 were available.",
    ),
    (
        "already-spent",
        "declined",
        ABOUT_A_PROPOSAL,
        {"spent_at": HIRED, "connects": 6},
        "Nothing spent again: proposal p-1 was submitted on 10 March 2026 already, for 6 Connects.",
    ),
    (
        "already-decided",
        "duplicate",
        ABOUT_A_JOB,
        {"first_topic": "job-closed", "first_partition": 2, "first_offset": 17},
        "Nothing done again: this message was read before (job-closed, partition 2, offset 17) and decided then.",
    ),
    (
        "invalid-event",
        "rejected",
        NOBODY,
        {"field": "connects", "detail": "should be a whole number"},
        "Rejected: the message is not valid. The field connects: should be a whole number.",
    ),
    (
        "occurred-in-the-future",
        "rejected",
        NOBODY,
        {"occurred_at": CLOSED},
        (
            "Rejected: the message is dated 09:30:00 UTC on 14 March 2026 and was read before that. "
            "Nothing was changed; sent again later, or with the right time, it counts."
        ),
    ),
    (
        "occurred-too-long-ago",
        "rejected",
        NOBODY,
        {"field": "occurred_at", "detail": "1970-01-01T00:00:00+00:00 is before 2000-01-01T00:00:00+00:00"},
        (
            "Rejected: the message is dated too long ago to be true. 1970-01-01T00:00:00+00:00 is before "
            "2000-01-01T00:00:00+00:00. Nothing was changed; sent again with the right time, it counts."
        ),
    ),
    (
        "occurred-too-long-ago",
        "rejected",
        NOBODY,
        {},
        (
            "Rejected: the message is dated too long ago to be true. Nothing was changed; "
            "sent again with the right time, it counts."
        ),
    ),
    (
        "event-id-conflict",
        "rejected",
        NOBODY,
        {"first_topic": "job-closed", "first_partition": 2, "first_offset": 17},
        (
            "Rejected: another message with the same event id was read before (job-closed, partition 2, offset 17), "
            "and says something else. Nothing was changed."
        ),
    ),
    (
        "unreadable-record",
        "rejected",
        NOBODY,
        {"detail": "the name of a header is not UTF-8"},
        "Rejected: the record cannot be read. the name of a header is not UTF-8.",
    ),
    (
        "batch-too-large",
        "rejected",
        NOBODY,
        {"detail": "it expands to more than the limit", "last_offset": 9, "records": 4},
        ("Rejected with all of its records: a batch is too large to be read. it expands to more than the limit."),
    ),
    (
        "failure-in-rule",
        "parked",
        ABOUT_A_PROPOSAL,
        {"error": "ZeroDivisionError", "scope": "job", "key": "j-1"},
        (
            "Set aside: deciding this failed (ZeroDivisionError). It and what follows for job j-1 "
            "wait until an operator releases them; nothing is lost."
        ),
    ),
    (
        "failure-in-rule",
        "parked",
        ABOUT_A_FREELANCER,
        {"error": "ZeroDivisionError"},
        (
            "Set aside: deciding this failed (ZeroDivisionError). It and what follows for the wallet of f-1 "
            "wait until an operator releases them; nothing is lost."
        ),
    ),
    (
        "refused-by-postgresql",
        "parked",
        ABOUT_A_FREELANCER,
        {"error": "table changes, constraint x: no"},
        (
            "Set aside: PostgreSQL refused to store what was decided (table changes, constraint x: no). This and what "
            "follows for the wallet of f-1 wait until an operator releases them; nothing is lost."
        ),
    ),
    (
        "waits-behind",
        "parked",
        ABOUT_A_FREELANCER,
        {"scope": "wallet", "key": "f-1"},
        (
            "Waiting: an earlier failure holds the wallet f-1 up. "
            "This is decided, in its turn, when an operator releases it."
        ),
    ),
    (
        "position-set",
        "applied",
        NOBODY,
        {"topic": "job-closed", "partition": 0, "incarnation": 1, "offset": 0, "actor": "ann", "why": "recreated"},
        ("Reading of job-closed, partition 0 goes on at offset 0 of incarnation 1. Asked for by ann: recreated."),
    ),
    (
        "plan-begun",
        "applied",
        NOBODY,
        {"plan": "ab" * 32, "triggers": 1, "actor": "ann", "why": "lost"},
        "Begun: plan abababababab, with 1 trigger. Asked for by ann: lost.",
    ),
    (
        "plan-is-open",
        "declined",
        NOBODY,
        {"plan": "ab" * 32, "triggers": 1, "by": "ann", "since": "2026-03-12T09:00:00+00:00"},
        "Nothing to begin: plan abababababab is open already, since 09:00:00 UTC on 12 March 2026, by ann.",
    ),
    (
        "plan-applied",
        "applied",
        NOBODY,
        {"plan": "ab" * 32, "first": 1, "last": 9, "booked": 6, "deviated": 2, "left_out": 1},
        "Decided: triggers 1 to 9 of plan abababababab; 6 booked, 2 deviated from the plan, 1 left out.",
    ),
    (
        "plan-interrupted",
        "declined",
        NOBODY,
        {"plan": "ab" * 32, "first": 1, "last": 9, "booked": 6, "deviated": 2, "left_out": 0, "left": 1},
        (
            "Not finished, because it took long or the worker was stopped: triggers 1 to 9 of plan abababababab; "
            "6 booked, 2 deviated from the plan, 0 left out, and 1 trigger is left. "
            "Applied again, the plan goes on from there."
        ),
    ),
    (
        "plan-stopped",
        "applied",
        NOBODY,
        {"plan": "ab" * 32},
        "Stopped: plan abababababab. It goes on when it is applied again.",
    ),
    (
        "plan-closed",
        "applied",
        NOBODY,
        {"plan": "ab" * 32},
        "Closed: plan abababababab. Nothing more of it is decided; what was booked stays.",
    ),
    (
        "plan-refused",
        "declined",
        NOBODY,
        {"plan": "ab" * 32, "detail": "it is stopped already"},
        "Not done with plan abababababab: it is stopped already.",
    ),
    (
        "already-decided",
        "duplicate",
        NOBODY,
        {"first_seq": 7, "first_topic": "job-closed", "first_partition": None, "first_offset": None},
        (
            "Nothing done again: this message was read before (the job-closed that was added as decision 7) and "
            "decided then."
        ),
    ),
    (
        "released",
        "applied",
        NOBODY,
        {"scope": "wallet", "key": "f-1", "released": 3, "left": 0},
        "The wallet f-1 goes on: 3 waiting messages were decided, in order.",
    ),
    (
        "released",
        "applied",
        NOBODY,
        {"scope": "wallet", "key": "f-1", "released": 1, "left": 0},
        "The wallet f-1 goes on: 1 waiting message was decided, in order.",
    ),
    (
        "fails-again",
        "declined",
        NOBODY,
        {"scope": "job", "key": "j-1", "released": 1, "left": 2, "error": "ZeroDivisionError"},
        (
            "The job j-1 stays stopped: 1 waiting message was decided, then one failed again (ZeroDivisionError); "
            "2 wait on."
        ),
    ),
    (
        "fails-again",
        "declined",
        NOBODY,
        {"scope": "job", "key": "j-1", "released": 0, "left": 1, "error": "Bug", "actor": "ann", "why": "mended"},
        (
            "The job j-1 stays stopped: 0 waiting messages were decided, then one failed again (Bug); "
            "1 waits on. Asked for by ann: mended."
        ),
    ),
    (
        "worker-stopping",
        "declined",
        NOBODY,
        {"scope": "wallet", "key": "f-1", "released": 4000, "left": 1, "actor": "ann", "why": "mended"},
        (
            "The wallet f-1 stays stopped: 4000 waiting messages were decided, then the worker was stopped; "
            "1 waits on. Released again, it goes on from there. Asked for by ann: mended."
        ),
    ),
    (
        "on-hold",
        "applied",
        NOBODY,
        {"topic": "job-closed", "partition": None, "let_time_go_on": False, "actor": "ann", "why": "garbage"},
        (
            "On hold: job-closed, all partitions. Nothing of it is decided. Business time waits for it: nothing is "
            "settled, granted or expired until it is resumed. Asked for by ann: garbage."
        ),
    ),
    (
        "on-hold",
        "applied",
        NOBODY,
        {"topic": "job-closed", "partition": 0, "let_time_go_on": True},
        (
            "On hold: job-closed, partition 0. Nothing of it is decided. Business time goes on without it: its events "
            "may be late when it is resumed."
        ),
    ),
    (
        "resumed",
        "applied",
        NOBODY,
        {"topic": "job-closed", "partition": 0, "actor": "ann", "why": "repaired"},
        "Resumed: job-closed, partition 0. Reading goes on where it stopped. Asked for by ann: repaired.",
    ),
    (
        "already-on-hold",
        "declined",
        NOBODY,
        {
            "topic": "job-closed",
            "partition": 3,
            "by": "ann",
            "because": "garbage",
            "whole_topic": True,
            "since": "2026-03-14T09:30:00+00:00",
            "let_time_go_on": False,
        },
        (
            "Nothing to do: job-closed, partition 3 is on hold already, since 09:30:00 UTC on 14 March 2026, by ann "
            "(garbage)."
        ),
    ),
    (
        "not-parked",
        "declined",
        NOBODY,
        {"scope": "job", "key": "j-1"},
        "Nothing to release: the job j-1 is not stopped.",
    ),
    ("wrong-arguments", "declined", NOBODY, {"detail": "an offset is 0 or more"}, "Not done: an offset is 0 or more."),
    (
        *("command-failed", "declined", NOBODY, {"error": "KeyError: 'x'"}),
        "Not done to its end: the command failed in the worker (KeyError: 'x'). Its log says where; report it.",
    ),
    (
        "unknown-command",
        "declined",
        NOBODY,
        {"name": "sing"},
        "Not done: the worker does not know the command sing; it may be of an older release.",
    ),
]
REASONS = sorted({(reason, outcome) for reason, outcome, *_ in WORDED})


@pytest.mark.parametrize(("reason", "outcome", "subject", "facts", "words"), WORDED)
def test_every_reason_has_words_that_name_who_what_when_and_how_many(
    reason: str, outcome: str, subject: Subject, facts: dict[str, Fact], words: str
) -> None:
    assert explain(reason, outcome, subject, facts, facts.get("rule")) == words


@pytest.mark.parametrize(("reason", "outcome", "subject", "facts", "words"), WORDED)
def test_facts_read_back_from_the_ledger_make_the_same_words(
    reason: str, outcome: str, subject: Subject, facts: dict[str, Fact], words: str
) -> None:
    stored = {name: fact.isoformat() if isinstance(fact, datetime) else fact for name, fact in facts.items()}
    assert explain(reason, outcome, subject, stored, facts.get("rule")) == words


@pytest.mark.parametrize(("reason", "outcome"), REASONS)
def test_with_nothing_known_there_is_still_a_sentence(reason: str, outcome: str) -> None:
    words = explain(reason, outcome, NOBODY, {})
    assert words.endswith(".")
    assert "None" not in words
    assert "  " not in words


def test_an_unknown_reason_is_shown_as_it_is() -> None:
    assert explain("something-new", "withheld", NOBODY, {}) == "Withheld: something-new."


def test_days_are_shown_in_utc() -> None:
    just_after_midnight_in_delhi = datetime(2026, 3, 15, 1, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    words = explain("job-expired", "declined", ABOUT_A_PROPOSAL, {"closed_at": just_after_midnight_in_delhi})
    assert "on 14 March 2026" in words


OPEN = "6 Connects spent on 10 March 2026: job j-1 has not been closed since, so nothing is decided."
ENDINGS = (
    "Connects come back when the client closes the job without hiring anyone, or when the marketplace removes it "
    "before anyone is hired. They do not come back when somebody is hired before that, when the job expires, or when "
    "the proposal is withdrawn before that."
)
BOOST = "Being outbid returns the 2 Connects of its boost, but only before the client does anything with the proposal."


def test_an_open_job_says_since_when_what_would_return_the_connects_and_what_would_not() -> None:
    assert job_not_closed(HIRED, 6, "j-1") == f"{OPEN} {ENDINGS}"


def test_an_open_job_says_when_being_outbid_returns_the_boost() -> None:
    assert job_not_closed(HIRED, 6, "j-1", boost=2) == f"{OPEN} {ENDINGS} {BOOST}"


def test_an_open_job_on_which_a_hire_is_known_promises_nothing() -> None:
    hired = "Somebody was hired for it on 14 March 2026, and a closing after that returns nothing."
    assert job_not_closed(HIRED, 6, "j-1", hired_at=CLOSED) == f"{OPEN} {hired}"
    assert job_not_closed(HIRED, 6, "j-1", boost=2, hired_at=CLOSED) == f"{OPEN} {hired} {BOOST}"


def test_a_closing_that_is_known_and_not_decided_yet_says_so() -> None:
    assert job_not_closed(HIRED, 6, "j-1", closing_at=CLOSED) == (
        "6 Connects spent on 10 March 2026: job j-1 ended on 14 March 2026, and what comes back is decided shortly."
    )
    assert job_not_closed(HIRED, 6, "j-1", closing_at=CLOSED, waits_for="It waits for hire-made, partition 1.") == (
        "6 Connects spent on 10 March 2026: job j-1 was closed on 14 March 2026; the settlement is due and waits. "
        "It waits for hire-made, partition 1."
    )


def test_a_withdrawn_proposal_on_an_open_job_says_that_nothing_comes_back() -> None:
    assert job_not_closed(HIRED, 6, "j-1", withdrawn_at=CLOSED) == (
        "6 Connects spent on 10 March 2026: job j-1 has not been closed since, so nothing is decided. "
        "The proposal was withdrawn on 14 March 2026, which does not return its Connects."
    )


def test_every_rule_that_grants_once_has_a_name_of_its_own() -> None:
    again: dict[str, Fact] = {"granted_at": HIRED, "connects": 5}
    rules = [card.id for card in CARDS if card.repeat is not None]
    shown = {explain("already-granted", "declined", ABOUT_A_FREELANCER, again, rule) for rule in rules}
    assert len(shown) == len(rules) > 5
    assert explain("already-granted", "declined", ABOUT_A_FREELANCER, again) not in shown


def test_a_repeat_under_a_rule_without_a_name_is_not_taken_for_another_one() -> None:
    again: dict[str, Fact] = {"granted_at": HIRED, "connects": 5, "contract_id": "k-1"}
    words = explain("already-granted", "declined", ABOUT_A_FREELANCER, again, "grant.unheard-of")
    assert words == "Nothing granted: this brought 5 Connects on 10 March 2026 already; it is granted only once."
    assert "registering" not in explain("already-granted", "declined", ABOUT_A_FREELANCER, again)
