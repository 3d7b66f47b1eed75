"""Connects that are bought, or put right by hand."""

from typing import Annotated

from pydantic import Field

from schemas.base import InputEvent
from schemas.fields import Connects, FreelancerId, Id, Note, ShortText, SignedConnects
from schemas.topics import InSubject, on_topic


@on_topic(
    "connects-purchased",
    key="freelancer_id",
    example={
        "event_id": "connects-purchased-710",
        "occurred_at": "2026-02-03T16:20:00Z",
        "freelancer_id": "freelancer-9",
        "purchase_id": "purchase-710",
        "connects": 100,
    },
)
class ConnectsPurchased(InputEvent):
    """A freelancer bought Connects; the payment is done (S3)."""

    freelancer_id: FreelancerId
    purchase_id: Annotated[Id, Field(description="The purchase; it is credited once."), InSubject("The purchase.")]
    connects: Annotated[Connects, Field(description="How many were bought, in Connects.")]


@on_topic(
    "connects-adjusted",
    key="freelancer_id",
    example={
        "event_id": "connects-adjusted-3",
        "occurred_at": "2026-02-04T11:11:11Z",
        "freelancer_id": "freelancer-9",
        "adjustment_id": "adjustment-3",
        "connects": -10,
        "actor": "support@marketplace.example",
        "note": "Taken back: the purchase was refunded in cash.",
    },
)
class ConnectsAdjusted(InputEvent):
    """Somebody put a wallet right by hand, or brought an opening balance in; who and why must be said."""

    freelancer_id: FreelancerId
    adjustment_id: Annotated[Id, Field(description="The adjustment; it is booked once."), InSubject("The adjustment.")]
    connects: Annotated[SignedConnects, Field(description="What is added, or taken if below zero, in Connects.")]
    actor: Annotated[ShortText, Field(description="Who did it.")]
    note: Annotated[Note, Field(description="Why, in words a support agent can repeat.")]
