"""What becomes of a job post."""

from typing import Annotated

from pydantic import Field

from schemas.base import InputEvent
from schemas.fields import ClientId, ClosureKind, FreelancerId, Id, JobId, ProposalId
from schemas.topics import on_topic


@on_topic(
    "job-closed",
    key="job_id",
    example={
        "event_id": "job-closed-8841",
        "occurred_at": "2026-03-02T17:45:00Z",
        "job_id": "job-512",
        "client_id": "client-77",
        "closure": "closed-by-client",
    },
)
class JobClosed(InputEvent):
    """A job post closed; a job that is reopened can close again.

    Each spend on the job is settled then (S3): Connects come back when the client closed it without hiring anyone or
    the marketplace removed it, not when it expired.
    """

    job_id: JobId
    client_id: ClientId
    closure: Annotated[
        ClosureKind, Field(description="Who or what closed it; a job that expired returns nothing (S3).")
    ]


@on_topic(
    "hire-made",
    key="job_id",
    example={
        "event_id": "hire-made-301",
        "occurred_at": "2026-03-01T08:15:30+01:00",
        "job_id": "job-512",
        "freelancer_id": "freelancer-9",
        "contract_id": "contract-64",
        "proposal_id": "proposal-2071",
    },
)
class HireMade(InputEvent):
    """A freelancer accepted an offer on the job.

    A contract cancelled before it starts is still a hire; a declined offer is not one (S3).
    """

    job_id: JobId
    freelancer_id: Annotated[FreelancerId, Field(description="Who was hired.")]
    contract_id: Annotated[Id, Field(description="The contract that began.")]
    proposal_id: Annotated[ProposalId | None, Field(description="The proposal that won, if there was one.")] = None
