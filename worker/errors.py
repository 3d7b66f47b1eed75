"""The closed family of errors. Each is raised in one place and handled in one place."""


class WorkerError(Exception):
    """Base of all errors that the worker raises on purpose."""


class Poison(WorkerError):
    """A record that can never be decided: dead letter."""


class Transient(WorkerError):
    """The database or the broker is away or said no for now: retry with backoff."""


class Conflict(WorkerError):
    """A known event id with another payload."""


class Bug(WorkerError):
    """A failure inside a rule: the wallet or job is parked."""


class LeadershipLost(WorkerError):
    """Another worker holds the ledger's epoch; stop writing at once."""


class OperatorNeeded(WorkerError):
    """Going on would risk the ledger; the text says what is wrong and the command that mends it."""
