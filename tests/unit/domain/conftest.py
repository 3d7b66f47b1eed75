import pytest

from tests.kit.story import Story


@pytest.fixture
def story() -> Story:
    """A ledger in which nothing has happened, under policies/connects.toml."""
    return Story()
