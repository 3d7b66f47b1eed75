"""What is not offered, in words to paste: people ask, and for these no event and no decision exists (S3)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

WHAT_RETURNS: Final = (
    "Connects come back when the client closes the job without hiring anyone, or when the marketplace removes it."
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
            "When a client declines a proposal or hires somebody else, its Connects do not come back. "
            f"{WHAT_RETURNS} Withdrawing a proposal does not return them either."
        ),
        "expired": (
            "When a job expires because the client never closed it, the Connects spent on it do not come back. "
            f"{WHAT_RETURNS}"
        ),
    }
)


def standing_answer(about: str) -> str | None:
    """Give the answer about one of `STANDING_ANSWERS`; None about anything else."""
    return STANDING_ANSWERS.get(about)
