"""Text of others, made safe to be shown."""

import unicodedata
from typing import Final

_STEERING: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that are not shown as they are."""


def plain(text: object) -> str:
    """Text of others as it may be shown: what would steer a terminal, or begin a line of its own, is spelled out."""
    return "".join(
        repr(character)[1:-1] if unicodedata.category(character) in _STEERING else character for character in str(text)
    )
