"""Shared by tests against the real servers: one stack per run, one fresh ledger and one set of topics per test."""

import asyncio
import gc
import os
import signal
import uuid
from collections.abc import AsyncIterator, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import hypothesis
import pytest

from tests.kit import java_ahead, order, sizes, stacks
from tests.kit.administering import delete_topics_of
from tests.kit.logs import log_plainly
from worker.embedded.stack import LocalStack
from worker.kafka.topics import create_topics

_folder = pytest.StashKey[Path]()
_ahead = pytest.StashKey["subprocess.Popen[bytes] | None"]()
_DAY: Final = "TEST_DAY"  # for all processes of a run, also where it goes on past midnight

# How long an example takes says how busy the machine is, and nothing about the code.
hypothesis.settings.register_profile(
    "on a busy machine",
    deadline=None,
    max_examples=int(os.environ.get("TEST_EXAMPLES", "30")),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("on a busy machine")


def pytest_configure(config: pytest.Config) -> None:
    log_plainly()
    if hasattr(config, "workerinput"):  # a worker of pytest-xdist inherits the folder
        stacks.keep_to_own_ports()
    elif stacks.FOLDER not in os.environ:  # else tests of this run run others
        config.stash[_folder] = stacks.make_folder()
        os.environ.setdefault(_DAY, str(datetime.now(UTC).toordinal()))
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, so that nothing is left behind
        if config.getoption("numprocesses", None):  # else there are few tests
            config.stash[_ahead] = java_ahead.begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Also after Ctrl-C, and when every worker has ended."""
    if _folder in config.stash:
        stacks.remove_folder(config.stash[_folder])
    if making := config.stash.get(_ahead, None):
        making.wait()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """For .ci/once_more.py: whether all tests were run."""
    cache = getattr(session.config, "cache", None)  # None with -p no:cacheprovider
    if not hasattr(session.config, "workerinput") and cache is not None:
        cache.set("connects/exit-status", int(exitstatus))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order.arrange(items)
    for item in items:
        if item.get_closest_marker("in_turn") is not None:
            item.add_marker(pytest.mark.soak)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    java_ahead.use()
    if item.get_closest_marker("in_turn") is None or any(".py" in argument for argument in item.config.args):
        return  # whoever names a file gets all of it
    if not sizes.is_turn_of(order.together_with(item), day := int(os.environ[_DAY])):
        pytest.skip(f"takes long: others run each day ({_DAY}={day}), all in `make soak` or where their file is named")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> order.InGroups:  # noqa: ANN401
    return order.InGroups(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the garbage collector pass over modules and tests, which stay to the end: a tenth of all work otherwise."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(scope="session")
def shared_stack() -> LocalStack:
    """The embedded Kafka and PostgreSQL of all tests, up."""
    return stacks.shared_stack()


@pytest.fixture(scope="session")
def fault_stack() -> Iterator[LocalStack]:
    """Another one, for tests that stop its servers while they are in use."""
    stack = stacks.fault_stack()
    yield stack
    stack.down(delete=True)


@pytest.fixture
def stack(request: pytest.FixtureRequest) -> Iterator[LocalStack]:
    """The embedded Kafka and PostgreSQL, up: shared, or those of the tests with the mark own_servers."""
    if request.node.get_closest_marker("own_servers") is None:
        yield request.getfixturevalue("shared_stack")
        return
    stack: LocalStack = request.getfixturevalue("fault_stack")
    yield stack
    stack.up()  # whatever the test left of them


@pytest.fixture
async def migrated(stack: LocalStack) -> str:
    """The name of a migrated database that nobody connects to: the template of all ledgers."""
    return await stacks.template_of(stack)


@pytest.fixture
async def database_url(stack: LocalStack) -> AsyncIterator[str]:
    """A fresh, migrated, empty ledger."""
    url = await stacks.copy_template(stack, "ledger")
    yield url
    if isinstance(stack, stacks.SharedStack):  # a server that the test stopped may be away; its data goes with it
        name = urlsplit(url).path.removeprefix("/")
        await stacks.run_sql(stack.addresses.database_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def kafka(stack: LocalStack) -> dict[str, Any]:
    """aiokafka's connection arguments."""
    return {"bootstrap_servers": stack.addresses.kafka_bootstrap}


@pytest.fixture
def prefix(stack: LocalStack, kafka: dict[str, Any]) -> Iterator[str]:
    """A prefix of topics that no other test has, and nobody has afterwards: a broker of 7,000 partitions is slow."""
    prefix = f"t{uuid.uuid4().hex[:10]}-"
    yield prefix
    if isinstance(stack, stacks.SharedStack):  # that of others may be away; its data goes with it
        asyncio.run(delete_topics_of(kafka, prefix))


@pytest.fixture
async def topics(kafka: dict[str, Any], prefix: str) -> str:
    """The prefix of a fresh set of the worker's own topics, with three partitions each."""
    await create_topics(kafka, prefix, partitions=3, replication=1, inputs=False)
    return prefix
