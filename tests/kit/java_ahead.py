"""Brokers of the tests start with half the work: their Java has Kafka's classes as an earlier broker linked them.

A run of all tests starts a hundred Javas. What they share is made once on a machine, by a broker that starts and ends
in order (JEP 514, Java 25 and later), and kept beside Kafka's jars. Java passes over what another Java or other jars
left, and starts without it: then a run takes longer, and nothing else differs.
"""

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from worker.embedded import kafka
from worker.embedded.jars import KAFKA_VERSION, locked_jars
from worker.embedded.java import find_java
from worker.embedded.stack import LocalStack, cache_folder

_LEFT: Final = "broker.aot"  # in the broker's working directory
_PATIENCE_SECONDS: Final = 120  # Java leaves it while it ends, which takes 5 s of a core of its own


def begin() -> subprocess.Popen[bytes] | None:
    """Begin to make it, unless it is there; in a process beside this one, while the tests are collected."""
    if kept().exists():
        return None
    return subprocess.Popen(
        [sys.executable, "-m", "tests.kit.java_ahead"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # what keeps this broker from starting keeps those of the tests, and is said there
        start_new_session=True,
    )


def use() -> None:
    """Let the brokers that this process starts from now on have it, if it is made by now."""
    for options in ("_JVM", "_JVM_FOR_A_MOMENT"):
        known = getattr(kafka, options)
        setattr(kafka, options, (*known, *(option for option in java_options() if option not in known)))


def java_options() -> list[str]:
    """What Java is told, for a broker that a test starts itself."""
    return [f"-XX:AOTCache={path}"] if (path := kept()).exists() else []


@functools.cache
def kept() -> Path:
    """Where it is kept, made or not: for each Java and each Kafka another one."""
    release = find_java().resolve().parents[1] / "release"
    of_java = release.read_bytes() if release.exists() else b""
    of_jars = "".join(jar.sha256 for jar in locked_jars()).encode()
    name = hashlib.sha256(of_java + of_jars).hexdigest()[:12]
    return cache_folder() / f"kafka-{KAFKA_VERSION}" / f"tests-{name}.aot"


def _make() -> None:
    kafka._JVM = (*kafka._JVM, f"-XX:AOTCacheOutput={_LEFT}")  # noqa: SLF001
    kafka._STOP_SECONDS = _PATIENCE_SECONDS  # type: ignore[misc] # noqa: SLF001
    with tempfile.TemporaryDirectory() as folder:
        stack = LocalStack(Path(folder) / "stack")
        stack.up()
        stack.down()
        left = stack.folder / "kafka" / _LEFT
        if left.exists():  # an older Java leaves none
            beside = kept().with_name(f"{kept().name}-{os.getpid()}")
            shutil.move(left, beside)
            beside.replace(kept())
        stack.down(delete=True)


if __name__ == "__main__":
    _make()
