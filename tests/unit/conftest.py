"""Shared by unit tests that decide in memory; each module has its own fixture `decides`."""

import pytest

from tests.kit.deciding import Deciding
from tests.kit.replaying import Came


@pytest.fixture
def came(decides: Deciding) -> Came:
    """Lets events come on their topics."""
    return Came(decides)
