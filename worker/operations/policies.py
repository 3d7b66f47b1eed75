"""The policy that the settings name, or a file on the command line, read once for a command or a worker."""

from pathlib import Path

from worker.domain.policy import PolicyBook, PolicyError, read_policy
from worker.settings import Settings, SettingsError


def policies(settings: Settings) -> PolicyBook:
    """The policy of the settings.

    Raises:
        SettingsError: naming the file, the line and the key.
    """
    try:
        return policy_file(settings.policy)
    except PolicyError as error:
        raise SettingsError(f"CONNECTS_POLICY: {error}") from None


def policy_file(path: Path) -> PolicyBook:
    """The policy in a file.

    Raises:
        PolicyError: naming the file, and what to do or the line and the key.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except IsADirectoryError:
        raise PolicyError(f"{path} is a folder. Name the policy file in it.") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise PolicyError(f"{path}, line {line}: not UTF-8 text. Save the file as UTF-8.") from None
    except OSError as error:
        raise PolicyError(f"{path} cannot be read ({error.strerror or error}). Name a file that can.") from None
    return read_policy(text, str(path))
