"""Replies about what waits for a person, was not valid, came twice, or is no freelancer's question at all."""

from collections.abc import Callable, Mapping
from typing import Final

from worker.replies.reply import Draft, Next
from worker.replies.writing import About, day


def _parked(about: About) -> Draft:
    return Draft(
        "not-yet",
        f"Not decided yet: since {_when(about)} this needs a person on our side.",
        "Nothing of yours is lost.",
        "It is decided in its turn as soon as that is done.",
        ahead=[Next(None, "settlement", 0)],
        agent_only=[
            about.decision.explanation,
            "connects parked list shows it, and connects parked release decides it",
        ],
    )


def _rejected(about: About) -> Draft:
    return Draft(
        "no",
        f"No: this was not counted on {_when(about)}, because the message about it was not valid.",
        "Nothing of yours was changed.",
        "Sent again as it should be, it counts for you.",
        agent_only=[about.decision.explanation],
    )


def _repeated(about: About) -> Draft:
    return Draft(
        "nothing-due",
        f"It counts once: what you ask about was reported again on {_when(about)}, and that changed nothing.",
        agent_only=[about.decision.explanation],
    )


def _command(about: About) -> Draft:
    return Draft(
        "info",
        f"This is a change that one of our own people asked for on {_when(about)}.",
        "What it changed for you is told where you ask about that.",
        agent_only=[about.decision.explanation],
    )


def _when(about: About) -> str:
    return day(about.decision.occurred_at or about.decision.recorded_at)


OPERATORS: Final[Mapping[str, Callable[[About], Draft]]] = {
    **dict.fromkeys(("failure-in-rule", "refused-by-postgresql", "waits-behind"), _parked),
    **dict.fromkeys(
        (
            "invalid-event",
            "occurred-in-the-future",
            "occurred-too-long-ago",
            "event-id-conflict",
            "unreadable-record",
            "batch-too-large",
        ),
        _rejected,
    ),
    "already-decided": _repeated,
    **dict.fromkeys(
        (
            "position-set",
            "on-hold",
            "resumed",
            "outputs-adopted",
            "adoption-interrupted",
            "outputs-republished",
            "outputs-not-made-again",
            "already-on-hold",
            "not-on-hold",
            "topic-on-hold",
            "released",
            "fails-again",
            "worker-stopping",
            "not-parked",
            "plan-begun",
            "plan-is-open",
            "plan-applied",
            "plan-interrupted",
            "plan-stopped",
            "plan-closed",
            "plan-refused",
            "wrong-arguments",
            "command-failed",
            "unknown-command",
        ),
        _command,
    ),
}
"""By reason; these decisions have no rule."""
