"""The head of a ledger: what is kept outside, to compare the ledger with later."""

from typing import NamedTuple

from worker.ledger.merkle import HASH_BYTES


class Head(NamedTuple):
    """A head that was kept outside the ledger: the size of the log, in leaves, and its root.

    Of a ledger that has no log yet the size is 0, and the root is the last head of its hash chain.
    """

    size: int
    root: bytes

    def __str__(self) -> str:
        return f"{self.size}:{self.root.hex()}"

    @classmethod
    def parsed(cls, text: str) -> "Head":
        """A head as it is printed.

        Raises:
            ValueError: it is not one.
        """
        size, _, root = text.strip().partition(":")
        if not (size.isascii() and size.isdigit() and len(size) <= _MOST_DIGITS and is_root(root)):
            raise ValueError("a head is SIZE:HEX, as `connects verify --head` prints it")
        return cls(int(size), bytes.fromhex(root))


_MOST_DIGITS = 18


def is_root(text: str) -> bool:
    """Whether this is a root in hexadecimal."""
    return len(text) == 2 * HASH_BYTES and text.isascii() and text.isalnum() and set(text.lower()) <= _HEXADECIMAL


_HEXADECIMAL = frozenset("0123456789abcdef")
