"""The policy of that day: the versions that the ledger stored, as the rules read them."""

from collections.abc import Iterable, Sequence
from functools import cache

from pydantic import ValidationError

from worker.domain.policy import Policy, PolicyBook
from worker.domain.policy_file import policy_of
from worker.domain.policy_text import VERSION_TEXT
from worker.domain.policy_use import StoredVersion
from worker.proof.unreadable import Unreadable


@cache
def stored_policy(document: str) -> Policy:
    """A stored version. Keys that this release has and the document lacks have their defaults.

    Raises:
        Unreadable: a later release stored it, with keys that this one does not know.
    """
    try:
        # JSON has its instants as text; apart from that the document is as strict as when it was stored.
        return policy_of(VERSION_TEXT.model_validate_json(document, strict=False))
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        raise Unreadable(
            f"a stored policy version has {key!r}, which this release does not know or allow: a later release stored "
            "it, or it was altered. Use that release, or a later one"
        ) from None


def book_of(stored: Sequence[StoredVersion], known: Iterable[str] | None = None) -> PolicyBook:
    """All of these versions, or only those with the names that were `known`; none of them: all there are."""
    names = None if known is None else frozenset(known)
    wanted = tuple(one.document for one in stored if names is None or one.version in names)
    return _book(wanted or tuple(one.document for one in stored))


@cache
def _book(documents: tuple[str, ...]) -> PolicyBook:
    return PolicyBook([stored_policy(document) for document in documents])
