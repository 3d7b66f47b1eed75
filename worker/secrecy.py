"""The passwords that this process knows, so that nothing it prints holds one."""

import json
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

MASK: Final = "********"
_SHORTEST: Final = 4
"""Characters: anything shorter would mask half of each line."""

_known: set[str] = set()


def remember(passwords: Iterable[str]) -> None:
    """Mask these from now on, as they are, in JSON and percent-encoded."""
    for password in passwords:
        if len(password) >= _SHORTEST:
            _known.update(_forms(password))


def _forms(password: str) -> set[str]:
    """How a password may turn up in a text."""
    return {password, json.dumps(password)[1:-1], quote(password, safe="")}


def without_secrets(text: str) -> str:
    """The text with every known password masked, the longest first."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
