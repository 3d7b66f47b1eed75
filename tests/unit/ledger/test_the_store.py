"""The store is one narrow interface: the same for every ledger, and without the driver of any."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import worker
from worker.ledger.memory_store import MemoryStore
from worker.ledger.postgres import PostgresStore
from worker.ledger.store import Store

WORKER = Path(worker.__file__).parent
WITHOUT_A_DRIVER = sorted(
    {
        *(WORKER / "engine").glob("*.py"),
        *(WORKER / "domain").rglob("*.py"),
        *(WORKER / "clock").glob("*.py"),
        *(WORKER / "ledger" / f"{name}.py" for name in ("store", "tables", "rows", "membership_rows", "mentions")),
        *(WORKER / "ledger").glob("memory_*.py"),
    }
)
ASKED = sorted(name for name in vars(Store) if not name.startswith("_"))


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


@pytest.mark.parametrize("file", WITHOUT_A_DRIVER, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_decides_knows_no_driver(file: Path) -> None:
    assert not [name for name in imported(file) if name.partition(".")[0] == "asyncpg"]


def test_files_are_looked_at() -> None:
    assert {"writer.py", "service.py", "store.py", "memory_store.py"} <= {file.name for file in WITHOUT_A_DRIVER}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("store", [PostgresStore, MemoryStore])
def test_every_ledger_is_asked_in_the_same_way(store: type[Any], name: str) -> None:
    asked, has = inspect.getattr_static(Store, name), inspect.getattr_static(store, name)
    assert type(has) is type(asked)
    if not isinstance(asked, property):
        assert inspect.signature(has) == inspect.signature(asked)
