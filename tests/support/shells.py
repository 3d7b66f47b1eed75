"""A command inside this process, as if a new shell had started it."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog

_SETTINGS = ("KAFKA_", "CONNECTS_", "OTEL_", "PG", "DATABASE_URL", "LOG_LEVEL")


@contextmanager
def a_new_shell(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
    """In that folder, without settings of ours; what a command does to the process ends with it."""
    for name in os.environ:
        if name.startswith(_SETTINGS):
            monkeypatch.delenv(name)
    monkeypatch.chdir(folder)
    yield
    os.environ.pop("LOG_LEVEL", None)  # set by --debug
    structlog.reset_defaults()
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)
