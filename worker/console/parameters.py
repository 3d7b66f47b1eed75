"""Parameters of a query string, as text that anybody may have typed."""

import re
from collections.abc import Mapping
from typing import Final

from schemas.fields import LARGEST_BIGINT
from worker.console.addresses import NO_ID, is_id
from worker.errors import UsageError

KIND_PATTERN: Final = r"^[a-z0-9.-]{1,64}$"
_KIND: Final = re.compile(KIND_PATTERN[1:-1])


class WrongParameter(UsageError):
    """A parameter that cannot be used; the text names it and says what would be right."""


def kind_typed(parameters: Mapping[str, str]) -> str | None:
    """The rule that a history is narrowed to; None: all.

    Raises:
        WrongParameter: it cannot be the name of a rule.
    """
    kind = parameters.get("kind") or None
    if kind is not None and not _KIND.fullmatch(kind):
        raise WrongParameter("kind: it is the name of a rule, such as grant.monthly.")
    return kind


def freelancer_typed(parameters: Mapping[str, str]) -> str | None:
    """The freelancer with whose own values an answer is wanted; None: without anybody's.

    Raises:
        WrongParameter: it cannot be an id.
    """
    freelancer = parameters.get("freelancer") or None
    if freelancer is not None and not is_id(freelancer):
        raise WrongParameter(f"freelancer: {NO_ID}")
    return freelancer


def version_typed(parameters: Mapping[str, str]) -> int | None:
    """The version before which a page ends; None: the last page.

    Raises:
        WrongParameter: it is not a version.
    """
    text = parameters.get("before")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < len(str(LARGEST_BIGINT)) and int(text) > 0):
        raise WrongParameter("before: it is a version, a whole number above 0.")
    return int(text)
