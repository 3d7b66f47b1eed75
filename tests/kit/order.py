"""The order in which tests start, and which of them have to run in one process, for pytest-xdist."""

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Final

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.kit.stacks import FOLDER

LONG: Final = (
    "integration/test_unavailable_partitions.py",
    "integration/test_silent_kafka.py",
    "upgrade/",
    "guide/",
    "integration/test_slow_connections.py",
    "integration/test_demo.py",
    "integration/test_first_contact.py",
    "integration/test_ten_years.py",
    "integration/test_backlog.py",
    "chaos/",
    "integration/test_local_stack.py",
    "integration/test_postgresql_versions.py",
    "integration/test_secured_kafka.py",
    "integration/console/test_console_in_a_browser.py",
    "integration/test_handover.py",
)
"""Files and folders that take long in one piece; the longest first."""
FOLDERS: Final = ("integration", "upgrade", "golden", "property", "contract")
"""The others; what is in none of them is quick and fills the gaps at the end."""


def arrange(items: list[pytest.Item]) -> None:
    """Sort the tests so that no process is left alone with a long one at the end, and group what has to be together."""
    items.sort(key=_turn)
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        groups = {item.nodeid: group for item in items if (group := group_of(item))}
        (Path(os.environ[FOLDER]) / f"{worker}.groups").write_text(json.dumps(groups))


class InGroups(LoadScopeScheduling):
    """Gives each process one test after the other, and one process all tests of a group.

    Only the processes that run tests know them: each leaves in the run's folder which belong together.
    """

    @cached_property
    def _groups(self) -> dict[str, str]:
        file = next(Path(os.environ[FOLDER]).glob("*.groups"))
        groups: dict[str, str] = json.loads(file.read_text())
        return groups

    def _split_scope(self, nodeid: str) -> str:
        return self._groups.get(nodeid, nodeid)


def group_of(item: pytest.Item) -> str | None:
    """What all tests of one process have in common with this one."""
    if item.get_closest_marker("own_servers"):
        return "servers of their own"
    return module_of(item) if shares_in_module(item) else None


def together_with(item: pytest.Item) -> str:
    """What has its turn on one day: a test, or all of a module that makes something once for them."""
    return module_of(item) if shares_in_module(item) else item.nodeid


def module_of(item: pytest.Item) -> str:
    """The path of its file."""
    return item.nodeid.partition("::")[0]


def shares_in_module(item: pytest.Item) -> bool:
    """Whether it uses a fixture that is made once for its module."""
    fixtures: dict[str, tuple[pytest.FixtureDef[object], ...]] = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009
    return any(definition.scope == "module" for definitions in fixtures.values() for definition in definitions)


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("own_servers"):
        return 0
    place = item.nodeid.removeprefix("tests/")
    for turn, start in enumerate((*LONG, *FOLDERS), start=1):
        if place.startswith(start):
            return turn
    return len(LONG) + len(FOLDERS) + 1
