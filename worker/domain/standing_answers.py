"""What is not offered, in words to paste: people ask, and for these no event and no decision exists (S3)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

WHAT_RETURNS: Final = (
    "Connects come back when the client closes the job without hiring anyone, or when the marketplace removes it "
    "before anyone is hired."
)
WHAT_RETURNS_NOTHING: Final = (
    "They do not come back when somebody is hired before that, when the job expires, or when the proposal is withdrawn "
    "before that."
)

STANDING_ANSWERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sharing": (
            "Connects cannot be shared or transferred: each freelancer's Connects are their own. "
            "An agency has a wallet of its own."
        ),
        "cash": "Connects are not money. They cannot be exchanged for cash or paid out.",
        "invitations": (
            "Answering an invitation costs no Connects and brings none. "
            "Interviews bring Connects only when they were won with a proposal."
        ),
        "learning-paths": (
            "Learning paths (for example Upwork 101) bring no Connects. Skill certifications do, once for each."
        ),
        "declined": (
            "Being declined decides nothing about the Connects of a proposal: what counts is how the job ends. "
            f"{WHAT_RETURNS} {WHAT_RETURNS_NOTHING}"
        ),
        "expired": (
            "When a job expires because the client never closed it, the Connects spent on it do not come back. "
            "They still come back if the job is reopened, and then the client closes it without hiring anyone, or the "
            "marketplace removes it before anyone is hired."
        ),
    }
)


def standing_answer(about: str) -> str | None:
    """Give the answer about one of `STANDING_ANSWERS`; None about anything else."""
    return STANDING_ANSWERS.get(about)
