"""The closed family of errors. What is wrong with a record is none: it is a `Rejection`, decided like all else."""


class WorkerError(Exception):
    """Base of all errors that the worker raises on purpose."""


class Transient(WorkerError):
    """The database or the broker is away or said no for now: retry with backoff."""


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
    """What the user has set cannot be used; the text names the setting and what would be right. Exit 2."""


class SettingsError(UsageError):
    """A setting that cannot be used: one line that names it and says what it should be."""


class OperatorNeeded(WorkerError):
    """Going on would risk the ledger; the text says what is wrong and the command that mends it."""


class PolicyRefused(OperatorNeeded):
    """The policy file contradicts what the ledger has stored of it; the text names the version and the key."""
