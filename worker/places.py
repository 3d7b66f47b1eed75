"""Places that a user names: files, folders and ports, as far as several rooms have to say something about them."""

import errno
import os
from typing import Final

LAST_PORT: Final = 65_535

UNUSABLE: Final = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
        *(errno.ENAMETOOLONG, errno.ELOOP),
    }
)
"""What the system says of a file or folder that cannot be used, however long one waits."""

_MOST_SHOWN: Final = 120
"""Characters of a name."""


def shortened(name: object) -> str:
    """The name of a file or folder for a line of text, which a name of thousands of characters would fill."""
    text = os.fsdecode(name) if isinstance(name, bytes) else str(name)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
