"""What becomes of a job post."""

from typing import Annotated

from pydantic import Field

from schemas.base import InputEvent
from schemas.fields import ClientId, Closure, FreelancerId, Id, JobId, ProposalId


class JobClosed(InputEvent):
    """A job post closed; a job that is reopened can close again.

    Each spend on the job is settled then (S3): Connects come back when the client closed it without hiring anyone or
    the marketplace removed it, not when it expired.
    """

    job_id: JobId
    client_id: ClientId
    closure: Annotated[Closure, Field(description="Who or what closed it; a job that expired returns nothing (S3).")]


class HireMade(InputEvent):
    """A freelancer accepted an offer on the job.

    A contract cancelled before it starts is still a hire; a declined offer is not one (S3).
    """

    job_id: JobId
    freelancer_id: Annotated[FreelancerId, Field(description="Who was hired.")]
    contract_id: Annotated[Id, Field(description="The contract that began.")]
    proposal_id: Annotated[ProposalId | None, Field(description="The proposal that won, if there was one.")] = None
