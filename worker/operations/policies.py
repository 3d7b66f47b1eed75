"""The policy that the settings name, read once for a command or a worker."""

from worker.domain.policy import PolicyBook, PolicyError, read_policy
from worker.settings import Settings, SettingsError


def policies(settings: Settings) -> PolicyBook:
    """The policy of the settings.

    Raises:
        SettingsError: naming the file, the line and the key.
    """
    try:
        return read_policy(settings.policy.read_text(encoding="utf-8"), str(settings.policy))
    except (PolicyError, OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"CONNECTS_POLICY: {error}") from None
