"""What the writer does for whoever decides much for it, batch after batch."""

from typing import Protocol


class Batches(Protocol):
    """What is asked of the writer."""

    @property
    def is_stopping(self) -> bool:
        """Whether the worker is to end."""
        ...

    async def cut(self) -> None:
        """Begin to commit what is decided."""
        ...

    async def commit_all(self) -> None:
        """Commit what is decided, and wait until it is in the ledger."""
        ...
