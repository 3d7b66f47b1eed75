"""What becomes of a proposal: sent, withdrawn, its boost outbid."""

from typing import Annotated

from pydantic import Field

from schemas.base import InputEvent
from schemas.fields import Connects, FreelancerId, JobId, NullIs, Origin, ProposalId
from schemas.topics import on_topic


@on_topic(
    "proposal-submitted",
    key="freelancer_id",
    example={
        "event_id": "proposal-submitted-2071",
        "occurred_at": "2026-02-10T09:30:00.000001Z",
        "freelancer_id": "freelancer-9",
        "job_id": "job-512",
        "proposal_id": "proposal-2071",
        "connects": 12,
        "boost_connects": 8,
        "origin": "proposal",
    },
)
class ProposalSubmitted(InputEvent):
    """A freelancer sent a proposal, and spent what it cost.

    A fact, not a request: it stands even where the wallet does not cover it. A second event about the same proposal
    takes nothing (S3).
    """

    freelancer_id: FreelancerId
    job_id: JobId
    proposal_id: ProposalId
    connects: Annotated[Connects, Field(description="The proposal's own price, in Connects.")]
    boost_connects: Annotated[
        Connects, NullIs(0), Field(description="What was bid on top for a better place, in Connects.")
    ] = 0
    origin: Annotated[Origin, Field(description="An answer to an `invite` is free, whatever the prices say (S3).")]


@on_topic(
    "proposal-withdrawn",
    key="freelancer_id",
    example={
        "event_id": "proposal-withdrawn-402",
        "occurred_at": "2026-02-12T21:00:00Z",
        "freelancer_id": "freelancer-9",
        "job_id": "job-512",
        "proposal_id": "proposal-2071",
    },
)
class ProposalWithdrawn(InputEvent):
    """A freelancer took a proposal back. Nothing is returned for it (S3)."""

    freelancer_id: FreelancerId
    job_id: JobId
    proposal_id: ProposalId


@on_topic(
    "boost-outbid",
    key="freelancer_id",
    example={
        "event_id": "boost-outbid-96",
        "occurred_at": "2026-02-10T09:42:00Z",
        "freelancer_id": "freelancer-9",
        "job_id": "job-512",
        "proposal_id": "proposal-2071",
    },
)
class BoostOutbid(InputEvent):
    """Others bid more for the place before the client did anything with the proposal: the boost alone comes back (HP).

    "Before the client did anything" is the producer's promise.
    """

    freelancer_id: FreelancerId
    job_id: JobId
    proposal_id: ProposalId
