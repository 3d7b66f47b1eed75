"""Connects that are bought, or put right by hand."""

from typing import Annotated

from pydantic import Field

from schemas.base import InputEvent
from schemas.fields import Connects, FreelancerId, Id, Note, ShortText, SignedConnects


class ConnectsPurchased(InputEvent):
    """A freelancer bought Connects; the payment is done (S3)."""

    freelancer_id: FreelancerId
    purchase_id: Annotated[Id, Field(description="The purchase; it is credited once.")]
    connects: Annotated[Connects, Field(description="How many were bought, in Connects.")]


class ConnectsAdjusted(InputEvent):
    """Somebody put a wallet right by hand, or brought an opening balance in; who and why must be said."""

    freelancer_id: FreelancerId
    adjustment_id: Annotated[Id, Field(description="The adjustment; it is booked once.")]
    connects: Annotated[SignedConnects, Field(description="What is added, or taken if below zero, in Connects.")]
    actor: Annotated[ShortText, Field(description="Who did it.")]
    note: Annotated[Note, Field(description="Why, in words a support agent can repeat.")]
