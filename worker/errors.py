"""The one family of errors. A bad record is not an error: it becomes a `Rejection` and is decided like any other.

A command that ends with one of them shows its text in one line: exit 2 for a `UsageError`, else 1. An error that only
one module raises and catches is defined there, and belongs to the family too.
"""


class WorkerError(Exception):
    """Base of all errors that the worker raises on purpose."""


class Transient(WorkerError):
    """The database or the broker is away or said no for now: retry with backoff.

    `problem` is the kind of problem that it is while it lasts (`worker/problems.py`).
    """

    problem = "recovering"


class Bug(WorkerError):
    """A failure inside a rule: the wallet or job is parked."""


class BatchRefused(WorkerError):
    """PostgreSQL cannot take what a batch holds, and nothing of it was written: find the event, and go on without it.

    `why` is what the server said, for the event that it is about.
    """

    def __init__(self, told: str, why: str) -> None:
        super().__init__(told)
        self.why = why


class LeadershipLost(WorkerError):
    """Another worker holds the ledger's epoch; stop writing at once."""


class UsageError(WorkerError):
    """What the user has set or typed cannot be used; the text names it and says what would be right. Exit 2."""


class SettingsError(UsageError):
    """A setting that cannot be used: one line that names it and says what it should be."""


class OperatorNeeded(WorkerError):
    """Going on would risk the ledger; the text says what is wrong and the command that repairs it."""


class PolicyRefused(OperatorNeeded):
    """The policy file contradicts what the ledger has stored of it; the text names the version and the key."""


class LocalStackError(WorkerError):
    """The embedded stack cannot do what was asked: one sentence what and where, one what to do about it."""


class WrongFolder(LocalStackError, UsageError):
    """The folder that was named for the stack cannot be one: the user has to name another. Exit 2."""
