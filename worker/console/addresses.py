"""Where things are: the path of each page, and which ids can be asked about at all."""

import re
from typing import Final
from urllib.parse import quote, urlencode

from worker.queries.history import ChangeRecord
from worker.replies.known import Asked

MOST_ID: Final = 160
"""Characters: an instant of the clock has the id of a freelancer (64), a kind and a day in it."""
ID_PATTERN: Final = rf"^[A-Za-z0-9._:-]{{1,{MOST_ID}}}$"
MOST_WORDS: Final = 200
"""Characters of a question."""
_ID: Final = re.compile(ID_PATTERN[1:-1])
NO_ID: Final = "an id has only letters, digits and . _ : - in it."
FOLDERS: Final[dict[Asked, str]] = {
    "freelancer": "freelancers",
    "job": "jobs",
    "proposal": "proposals",
    "event": "events",
}
"""Where the pages about an id of each role are, and their paths in the API."""


def is_id(text: str) -> bool:
    """Whether a text can be an id of anything."""
    return _ID.fullmatch(text) is not None


def page_of(role: Asked, key: str) -> str:
    """The path of the page about an id."""
    return f"/{FOLDERS[role]}/{quote(key, safe=':')}"


def page_of_plan(plan: str) -> str:
    """The path of what a plan came to, by its hash."""
    return f"/plans/{plan}"


def page_of_topic(topic: str, freelancer: str | None = None) -> str:
    """The path of a standing answer, with somebody's own values where they are named."""
    return f"/questions/{topic}" + (f"?{urlencode({'freelancer': freelancer})}" if freelancer else "")


def page_of_history(freelancer: str, *, kind: str | None = None, before: int | None = None) -> str:
    """The path of a part of a freelancer's history."""
    chosen = {name: value for name, value in (("kind", kind), ("before", before)) if value is not None}
    return page_of("freelancer", freelancer) + (f"?{urlencode(chosen)}" if chosen else "") + "#history"


def page_of_change(change: ChangeRecord) -> str | None:
    """The path of the reply about a change: of its proposal, or of the event that caused it; None: there is neither."""
    if (proposal := change.subject.get("proposal_id")) is not None:
        return page_of("proposal", proposal)
    event_id = change.cause.event_id
    return None if event_id is None else page_of("event", event_id)
