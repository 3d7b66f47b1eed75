"""What a freelancer earns Connects with, each once."""

from typing import Annotated

from pydantic import Field

from schemas.base import InputEvent
from schemas.fields import Cents, CertificationKind, ClientId, Count, FreelancerId, Id, JobId, Origin
from schemas.topics import InSubject, on_topic


@on_topic(
    "freelancer-registered",
    key="freelancer_id",
    example={
        "event_id": "freelancer-registered-9",
        "occurred_at": "2026-01-15T00:00:00Z",
        "freelancer_id": "freelancer-9",
    },
)
class FreelancerRegistered(InputEvent):
    """A freelancer joined: the registration's Connects, and a Basic membership from that day (S3)."""

    freelancer_id: FreelancerId


@on_topic(
    "badge-earned",
    key="freelancer_id",
    example={
        "event_id": "badge-earned-31",
        "occurred_at": "2026-02-01T12:00:00Z",
        "freelancer_id": "freelancer-9",
        "badge": "rising-talent",
    },
)
class BadgeEarned(InputEvent):
    """A freelancer earned a badge. Losing it and earning it again pays nothing (S3)."""

    freelancer_id: FreelancerId
    badge: Annotated[
        Id, Field(description="Which badge, for example `rising-talent`."), InSubject("The badge that was earned.")
    ]


@on_topic(
    "certification-completed",
    key="freelancer_id",
    example={
        "event_id": "certification-completed-18",
        "occurred_at": "2026-02-20T10:00:00Z",
        "freelancer_id": "freelancer-9",
        "certification_id": "python-developer",
        "kind": "skill-certification",
    },
)
class CertificationCompleted(InputEvent):
    """A freelancer finished a certification or a learning path; only skill certifications earn Connects (S3)."""

    freelancer_id: FreelancerId
    certification_id: Annotated[Id, Field(description="Which one; each counts once."), InSubject("The certification.")]
    kind: Annotated[CertificationKind, Field(description="A `learning-path` earns nothing (S3).")]


@on_topic(
    "interview-won",
    key="freelancer_id",
    example={
        "event_id": "interview-won-55",
        "occurred_at": "2026-02-11T14:03:09.120Z",
        "freelancer_id": "freelancer-9",
        "job_id": "job-512",
        "client_id": "client-77",
        "origin": "proposal",
        "client_hires": 4,
        "client_spent_cents": 1250000,
    },
)
class InterviewWon(InputEvent):
    """A client answered a proposal: Connects by what that client has hired and spent, up to a weekly cap (S3, HP)."""

    freelancer_id: FreelancerId
    job_id: JobId
    client_id: ClientId
    origin: Annotated[Origin, Field(description="An interview from an `invite` earns nothing (S3).")]
    client_hires: Annotated[Count, Field(description="How many hires the client had made by then.")]
    client_spent_cents: Annotated[Cents, Field(description="What the client had spent by then, in US cents.")]
