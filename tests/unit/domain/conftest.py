import pytest

from tests.support.story import Story


@pytest.fixture
def story() -> Story:
    """A ledger in which nothing has happened, under policies/connects.toml."""
    return Story()
