"""One valid message of each topic: for the schemas, the documentation, and whoever writes a producer."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from schemas.inputs import TOPICS

EXAMPLES: Final[Mapping[str, Mapping[str, JsonValue]]] = MappingProxyType(
    {
        **{topic.name: topic.example for topic in TOPICS},
        "wallet-updated": {
            "event_id": "0f1d4d0c-5d0b-5f2e-9a53-6a6a3f1f2c11",
            "freelancer_id": "freelancer-9",
            "occurred_at": "2026-03-02T17:45:00Z",
            "version": 3,
            "recorded_at": "2026-03-02T17:45:30Z",
            "delta": 20,
            "debt_delta": 0,
            "balance_before": 20,
            "balance_after": 40,
            "overdrawn": False,
            "rule": "refund.job-closed-without-hire",
            "reason": "closed-without-hire",
            "policy_version": "2026-01-01",
            "cause": {
                "topic": "job-closed",
                "incarnation": 0,
                "partition": 0,
                "offset": 17,
                "event_id": "job-closed-8841",
            },
            "subject": {"job_id": "job-512", "proposal_id": "proposal-2071"},
            "lots": [{"lot_id": "lot-1", "delta": 20, "expires_at": "2027-01-15T00:00:00Z"}],
            "explanation": "20 Connects returned: the client closed job job-512 without hiring anyone.",
        },
        "membership-updated": {
            "event_id": "7d3b8f0a-4f9e-5c58-8a0f-6b6ce7a7f3d2",
            "freelancer_id": "freelancer-9",
            "occurred_at": "2026-02-05T08:00:04Z",
            "version": 2,
            "plan": "plus",
            "cycle_start": "2026-02-05",
            "next_renewal_on": "2026-03-05",
            "scheduled_plan": None,
            "suspended": False,
            "reason": "upgraded",
        },
        "membership-charge-requested": {
            "event_id": "c3ae3c5e-7f9b-5b57-9a44-0d9a3d7f1b60",
            "freelancer_id": "freelancer-9",
            "occurred_at": "2026-02-05T08:00:00Z",
            "charge_id": "freelancer-9:membership-plan-chosen-21:1",
            "amount_cents": 1000,
            "currency": "USD",
            "source": "payment-method",
            "cycle_start": "2026-02-05",
            "promo_code": "SPRING-50",
        },
    }
)
