"""The same worlds as in tests/integration."""

from tests.integration.conftest import world

__all__ = ["world"]
