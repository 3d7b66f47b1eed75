"""The jars of Apache Kafka: fetched once from Maven Central into a per-user cache, checked against kafka.lock.toml.

The lock names every jar with its SHA-256 sum, so nothing is resolved at run time and only a missing jar needs the
network. `python -m worker.embedded.jars` writes the lock again after the coordinates below have changed.
"""

import hashlib
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from worker.embedded.files import exclusive_lock
from worker.errors import LocalStackError, WrongFolder
from worker.words.phrases import agreeing, counted

KAFKA_VERSION = "4.4.0"
_COORDINATES = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    # Without a binding slf4j drops every log line. The "!" keeps its parent's versions away from Kafka's own.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5!",
)
_LOCK = Path(__file__).with_name("kafka.lock.toml")
_DOWNLOAD_MEGABYTES = 43
_FETCHERS = 4
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Jar:
    """One line of the lock."""

    group: str
    name: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name in the cache."""
        return f"{self.name}-{self.version}.jar"


def locked_jars() -> list[Jar]:
    """Every jar of the lock, in the order of the class path."""
    with _LOCK.open("rb") as file:
        entries = tomllib.load(file)["dependencies"]
    return [Jar(e["groupId"], e["artifactId"], e["version"], e["sha256"]) for e in entries]


def class_path(cache_dir: Path, progress: Callable[[str], None]) -> list[Path]:
    """Return the jars' paths in the cache, each checked against its sum; missing or damaged jars are fetched again.

    Raises:
        LocalStackError: a jar could not be fetched, or it is not the one that the lock names.
        WrongFolder: Java has no way to name files there.
    """
    if os.pathsep in str(cache_dir):
        raise WrongFolder(
            f"the cache folder {cache_dir} has a {os.pathsep!r} in its name, where Java ends one. "
            "Name another one in CONNECTS_CACHE_DIR."
        )
    jars = locked_jars()
    folder = cache_dir / f"kafka-{KAFKA_VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder / "lock", waiting=lambda: progress("waiting for another download of Apache Kafka")):
        wrong = _not_as_locked(jars, folder)
        if wrong:
            _fetch(wrong, folder, progress)
    return [folder / jar.file_name for jar in jars]


def _not_as_locked(jars: Sequence[Jar], folder: Path) -> list[Jar]:
    with ThreadPoolExecutor() as pool:
        sums = pool.map(lambda jar: _sha256(folder / jar.file_name), jars)
        return [jar for jar, found in zip(jars, sums, strict=True) if found != jar.sha256]


def _fetch(jars: Sequence[Jar], folder: Path, progress: Callable[[str], None]) -> None:
    if len(jars) == len(locked_jars()):
        progress(f"downloading Apache Kafka {KAFKA_VERSION}, about {_DOWNLOAD_MEGABYTES} MB, once")
    else:
        files = counted(len(jars), "file")
        are = agreeing(len(jars), "is", "are")
        progress(f"downloading {files} of Apache Kafka {KAFKA_VERSION} that {are} missing or damaged")
    started = said = time.monotonic()
    done_bytes = 0
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix="fetch-") as staging,
        ThreadPoolExecutor(_FETCHERS) as pool,
    ):
        fetches = [pool.submit(_fetch_one, jar, Path(staging), folder) for jar in jars]
        try:
            for fetch in as_completed(fetches):
                done_bytes += fetch.result()
                if time.monotonic() - said > 1:
                    said = time.monotonic()
                    progress(f"downloaded {done_bytes / 1e6:.0f} MB in {said - started:.0f} s")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    progress(f"downloaded {done_bytes / 1e6:.0f} MB in {time.monotonic() - started:.1f} s")


def _fetch_one(jar: Jar, staging: Path, folder: Path) -> int:
    """Fetch beside the cache, check, and only then move it in: the cache never holds half a jar. Return its bytes."""
    try:
        from jgo.config import GlobalSettings  # noqa: PLC0415 - needed for a download only
        from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - needed for a download only
        from jgo.maven import MavenContext  # noqa: PLC0415 - needed for a download only
    except ImportError:
        raise LocalStackError(
            "the embedded Kafka needs the Python package jgo for its first download. "
            "Install the worker with its extra: pip install 'connects-worker[local]'."
        ) from None
    maven = MavenContext(
        repo_cache=staging,
        remote_repos={"central": MAVEN_CENTRAL_URL} | GlobalSettings.load().repositories,
        timeout=_TIMEOUT_SECONDS,
    )
    try:
        fetched = maven.project(jar.group, jar.name).at_version(jar.version).artifact().resolve()
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
        raise LocalStackError(
            f"cannot download {jar.file_name} of Apache Kafka: {_shortly(error)}. The first start needs Maven Central: "
            "check the network (HTTPS_PROXY is obeyed, and the repositories of jgo.conf), or copy the cache folder "
            f"{folder} from a machine that has it."
        ) from error
    if _sha256(fetched) != jar.sha256:
        raise LocalStackError(
            f"{jar.file_name} as downloaded is not the file that kafka.lock.toml names: its SHA-256 sum differs. "
            "Something between here and Maven Central changes files; nothing of it was kept."
        )
    size = fetched.stat().st_size
    fetched.replace(folder / jar.file_name)
    return size


def _shortly(error: BaseException) -> str:
    """Return the innermost cause in one line: the outer ones only repeat it with addresses and object names."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return (str(error).splitlines() or [type(error).__name__])[0]


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _write_lock() -> None:
    """Resolve the coordinates with jgo and write the lock: names, versions and sums, no addresses and no dates."""
    from jgo.env import LockFile  # noqa: PLC0415 - a maintainer's command, not the worker's
    from jgo.maven import MavenContext  # noqa: PLC0415 - a maintainer's command, not the worker's

    repository = Path(tempfile.mkdtemp(prefix="kafka-lock-"))
    try:
        maven = MavenContext(repo_cache=repository, timeout=_TIMEOUT_SECONDS)
        inputs, transitive = maven.resolver.resolve([maven.create_dependency(c) for c in _COORDINATES])
        wanted = [*inputs, *(d for d in transitive if d.scope in {"compile", "runtime"})]
        lines = []
        for entry in LockFile.from_resolved_dependencies(wanted).dependencies:
            lines.append("[[dependencies]]")
            lines += [f'{key} = "{value}"' for key, value in entry.to_dict().items()]
            lines.append("")
        _LOCK.write_text("\n".join(lines), encoding="utf-8")
    finally:
        shutil.rmtree(repository)


if __name__ == "__main__":
    _write_lock()
    sys.stdout.write(f"{len(locked_jars())} jars locked\n")
