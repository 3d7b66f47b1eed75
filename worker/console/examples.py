"""An example of each response of the API, as its OpenAPI document shows it."""

from typing import Any, Final

_REPLY: Final[dict[str, Any]] = {
    "verdict": "no",
    "headline": "No: the 9 Connects for job-502 did not come back, because the job expired on 12 October 2026.",
    "reply": "No: the 9 Connects for job-502 did not come back, because the job expired on 12 October 2026.\n"
    "You applied on 9 September 2026 and the client never closed the job; a job that expires returns nothing.",
    "numbers": {"spent": 9, "base": 9, "boost": 0, "back": 0, "kept": 9, "open": 0},
    "next": [{"on": None, "what": "reopened-and-closed", "connects": 9}],
    "if_they_object": [{"topic": "silence", "text": "There is no number of days after which Connects come back."}],
    "agent_only": ["freelancer omar, proposal p-202, job job-502"],
}
_WALLET: Final[dict[str, Any]] = {
    "verdict": "info",
    "headline": "You have 31 Connects.",
    "reply": "You have 31 Connects.\nThe next 10 come on 9 December 2026. 21 expire on 9 October 2027.",
    "numbers": {"balance": 31},
    "next": [{"on": "2026-12-09", "what": "monthly", "connects": 10}],
    "if_they_object": [],
    "agent_only": [],
}
_LINE: Final = {
    "proposal_id": "p-202",
    "freelancer_id": "omar",
    "job_id": "job-502",
    "spent_at": "2026-09-09T09:00:00Z",
    "spent": 9,
    "back": 0,
    "kept": 9,
    "open": 0,
    "state": "kept",
    "reason": "job-expired",
}
_ANSWER: Final = {
    "reply": _REPLY,
    "id": "p-202",
    "freelancer_id": "omar",
    "proposals": [_LINE],
    "timeline": [{"at": "2026-10-12T09:00:00Z", "what": "closed", "words": "The job expired"}],
    "decisions": [],
    "left_out": 0,
    "open": [],
    "awaited": [],
    "again": None,
}
_CHANGE: Final = {
    "version": 2,
    "occurred_at": "2026-09-09T09:00:00Z",
    "recorded_at": "2026-09-09T09:00:01Z",
    "delta": -9,
    "debt_delta": 0,
    "balance_after": 31,
    "rule": "spend.proposal",
    "reason": "proposal-submitted",
    "policy_version": "2026-01-01",
    "explanation": "9 Connects spent on proposal p-202 for job job-502.",
    "cause": {"topic": "proposal-submitted", "incarnation": 0, "partition": 0, "offset": 17, "event_id": "e-9"},
    "subject": {"job_id": "job-502", "proposal_id": "p-202"},
}
_PLAN: Final = {
    "plan": "2f0c7c7f1e0a" + "0" * 52,
    "state": "done",
    "actor": "ana",
    "why": "the importer sent the purchases of 3 March twice",
    "begun_at": "2026-03-05T09:00:00Z",
    "booked_at": "2026-03-05T09:02:11Z",
    "kinds": {"void": 120},
    "triggers": 120,
    "booked": 119,
    "deviated": 1,
    "left_out": 0,
    "left": 0,
    "undone": 0,
}
EXAMPLES: Final[dict[str, Any]] = {
    "search": {"found": [{"kind": "proposal", "id": "p-202", "page": "/proposals/p-202"}]},
    "freelancer": {
        "reply": _WALLET,
        "freelancer_id": "omar",
        "balance": 31,
        "version": 2,
        "overdrawn": False,
        "membership": None,
        "lots": [],
        "upcoming": [],
        "lots_left_out": 0,
        "open": [],
        "open_left_out": 0,
        "kinds": [
            {"kind": "registering", "rule": "grant.registration", "connects": 40, "changes": 1},
            {"kind": "proposals", "rule": "spend.proposal", "connects": -9, "changes": 1},
        ],
        "charges": [],
        "refused": [
            {
                "occurred_at": "2026-11-01T09:00:00Z",
                "event_id": "iv-9",
                "topic": "interview-won",
                "reason": "client-not-established",
                "explanation": "Nothing granted: the client of job job-519 had not hired anybody before.",
            }
        ],
        "proposals": [_LINE],
        "more_proposals": False,
    },
    "changes": {"freelancer_id": "omar", "changes": [_CHANGE], "next": None},
    "proposal": _ANSWER,
    "job": {**_ANSWER, "id": "job-502"},
    "event": {**_ANSWER, "id": "e-9"},
    "topics": {"topics": [{"topic": "expiry", "words": ["expire", "how long do connects last"]}]},
    "topic": {
        "reply": {**_WALLET, "headline": "Your Connects last one calendar year."},
        "topic": "expiry",
        "freelancer_id": None,
    },
    "operators": {
        "status": None,
        "dead_letters": [
            {"topic": "job-closed", "error_code": "invalid-event", "letters": 3, "unsent": 0, "last_seq": 812}
        ],
        "parked": [],
    },
    "plans": {"plans": [_PLAN], "more": False},
    "plan": {
        "plan": _PLAN,
        "steps": [{"recorded_at": "2026-03-05T09:02:11Z", "first": 112, "last": 120, "booked": 9}],
        "steps_left_out": 3,
        "booked": [{"rule": "correct.void", "reason": "voided", "changes": 119, "given": 0, "taken": 2380}],
        "wallets": 101,
        "gain_most": [],
        "lose_most": [{"freelancer_id": "omar", "connects": -40}],
        "shortfall": 12,
        "shortfalls": [{"number": 7, "freelancer_id": "gus", "connects": 12}],
        "samples": [
            {
                "number": 1,
                "kind": "void",
                "reason": "voided",
                "topic": "connects-purchased",
                "event_id": "e-b-1",
                "freelancer_id": "omar",
                "seq": 90_211,
            }
        ],
        "not_booked": [
            {
                "number": 31,
                "kind": "void",
                "outcome": "deviated",
                "reason": "other-amounts",
                "detail": "it would bring applied (voided), zoe -18; planned was applied (voided), zoe -20",
                "topic": "connects-purchased",
                "event_id": "e-b-31",
                "source": "twice.jsonl",
                "line": 32,
            }
        ],
    },
    "policies": {
        "versions": [
            {"version": "2026-01-01", "effective_from": "2026-01-01T00:00:00Z", "state": "used"},
            {"version": "2026-07-01", "effective_from": "2026-07-01T00:00:00Z", "state": "used"},
        ],
        "old": "2026-01-01",
        "new": "2026-07-01",
        "differences": [{"key": "grants.registration", "old": "40", "new": "50"}],
        "not_compared": None,
    },
}
"""By the name of the path. A test reads each as the value that the path returns."""
