"""What a freelancer earns Connects with, each once."""

from typing import Annotated

from pydantic import Field

from schemas.base import InputEvent
from schemas.fields import Cents, CertificationKind, ClientId, Count, FreelancerId, Id, JobId, Origin


class FreelancerRegistered(InputEvent):
    """A freelancer joined: the registration's Connects, and a Basic membership from that day (S3)."""

    freelancer_id: FreelancerId


class BadgeEarned(InputEvent):
    """A freelancer earned a badge. Losing it and earning it again pays nothing (S3)."""

    freelancer_id: FreelancerId
    badge: Annotated[Id, Field(description="Which badge, for example `rising-talent`.")]


class CertificationCompleted(InputEvent):
    """A freelancer finished a certification or a learning path; only skill certifications earn Connects (S3)."""

    freelancer_id: FreelancerId
    certification_id: Annotated[Id, Field(description="Which one; each counts once.")]
    kind: Annotated[CertificationKind, Field(description="A `learning-path` earns nothing (S3).")]


class InterviewWon(InputEvent):
    """A client answered a proposal: Connects by what that client has hired and spent, up to a weekly cap (S3, HP)."""

    freelancer_id: FreelancerId
    job_id: JobId
    client_id: ClientId
    origin: Annotated[Origin, Field(description="An interview from an `invite` earns nothing (S3).")]
    client_hires: Annotated[Count, Field(description="How many hires the client had made by then.")]
    client_spent_cents: Annotated[Cents, Field(description="What the client had spent by then, in US cents.")]
