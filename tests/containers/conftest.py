"""Shared by the tests in containers: the servers, and the worker's image."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.containers.harness import Servers, servers

ROOT = Path(__file__).parents[2]
BUILD_LIMIT_SECONDS = 900


@pytest.fixture(scope="session", autouse=True)
def docker_answers() -> None:
    try:
        docker.from_env(timeout=10).ping()
    except Exception as error:  # noqa: BLE001 - whatever is in the way
        missing = f"no Docker daemon answers: {error}"
        if os.environ.get("CONNECTS_REQUIRE_DOCKER"):
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.fixture(scope="session")
def up() -> Iterator[Servers]:
    with servers() as running:
        yield running


@pytest.fixture(scope="session")
def image() -> str:
    """The worker's image of this checkout, or the one that WORKER_IMAGE names.

    It stays, so that the next run builds in a moment; what it replaces goes.
    """
    if given := os.environ.get("WORKER_IMAGE"):
        return given
    tag = "connects-worker:test"
    before = run("docker", "images", "--quiet", tag).split()
    run("docker", "build", "--network", "host", "--build-arg", "PYTHON_IMAGE", "--tag", tag, ".")
    if before and run("docker", "images", "--quiet", tag).split() != before:
        run("docker", "rmi", *before)
    return tag


def run(program: str, *arguments: str, **environment: str) -> str:
    """Run a program in the checkout, as its user would; what it printed."""
    done = subprocess.run(  # noqa: S603 - programs that the tests name
        [shutil.which(program) or program, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{program} {' '.join(arguments)}\n{done.stdout}"
    return done.stdout
