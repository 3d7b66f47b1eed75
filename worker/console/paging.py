"""Cursors: where the next page of a wallet's history begins, for this ledger, this wallet and this filter only."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from typing import NamedTuple
from uuid import UUID

import msgspec

from worker.errors import UsageError

MOST_CURSOR = 400
"""Characters."""


class Cursor(NamedTuple):
    """A page of changes before a version. `kind` is the rule that it is narrowed to; None: all."""

    ledger: str
    freelancer_id: str
    kind: str | None
    before: int

    def written(self) -> str:
        """As the API returns it: opaque to its users."""
        return urlsafe_b64encode(msgspec.json.encode(tuple(self))).decode().rstrip("=")


class WrongCursor(UsageError):
    """A cursor that this ledger did not return for this question; the text says so."""


def read_cursor(text: str, ledger: UUID, freelancer_id: str, kind: str | None) -> int:
    """The version before which a page ends.

    Raises:
        WrongCursor: it is none, or is that of another ledger, freelancer or kind.
    """
    try:
        padded = text + "=" * (-len(text) % 4)
        found = Cursor(*msgspec.json.decode(urlsafe_b64decode(padded), type=tuple[str, str, str | None, int]))
    except (Error, msgspec.MsgspecError, ValueError):
        raise WrongCursor("The cursor is not one that this API returned. Ask without it for the first page.") from None
    if (found.ledger, found.freelancer_id, found.kind) != (str(ledger), freelancer_id, kind):
        raise WrongCursor(
            "The cursor is of another ledger, freelancer or kind. Ask without it for the first page of this one."
        )
    return found.before
