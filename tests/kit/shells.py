"""A command inside this process, as if a new shell had started it."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kit.logs import log_plainly

_SETTINGS = ("KAFKA_", "CONNECTS_", "OTEL_", "PG", "DATABASE_URL", "LOG_LEVEL")


@contextmanager
def a_new_shell(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
    """In that folder, without settings of ours."""
    for name in os.environ:
        if name.startswith(_SETTINGS):
            monkeypatch.delenv(name)
    monkeypatch.chdir(folder)
    with undone():
        yield


@contextmanager
def undone() -> Iterator[None]:
    """Undo afterwards what a command changes in this process."""
    levels = {name: logging.getLogger(name).level for name in ("aiokafka", "asyncio")}
    yield
    os.environ.pop("LOG_LEVEL", None)  # set by --debug
    log_plainly()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
