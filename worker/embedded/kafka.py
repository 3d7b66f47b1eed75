"""One Apache Kafka broker: KRaft, broker and controller in one process, on 127.0.0.1."""

import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from worker.embedded import processes
from worker.embedded.files import write_whole
from worker.embedded.jars import class_path
from worker.embedded.java import find_java
from worker.embedded.logs import holds, keep_small, last_line
from worker.embedded.state import StackState, becomes_free
from worker.errors import LocalStackError

_READY_SECONDS = 120
_STOP_SECONDS = 30
_PORT_SECONDS = 3
_FORMAT_SECONDS = 60
_FENCING_SECONDS = 3
_PROBE_SECONDS = 2

_JVM = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:TieredStopAtLevel=1",  # the second compiler takes a third of a core for minutes: more than it saves
    "-XX:+UseSerialGC",  # on two cores as fast as the others, with 100 MB less
    "-XX:+IgnoreUnrecognizedVMOptions",
    "-Djava.awt.headless=true",
)
_JVM_FOR_A_MOMENT = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+IgnoreUnrecognizedVMOptions")

_LEFT_IN_ORDER = ".kafka_cleanshutdown"  # Kafka's own mark: written last, removed on starting

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=CLIENT://127.0.0.1:{kafka_port},CONTROLLER://127.0.0.1:{controller_port}
# The broker must be able to reach the address that it advertises, or transactions fail with NotEnoughReplicas.
advertised.listeners=CLIENT://127.0.0.1:{kafka_port}
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
# Relative to the broker's working directory: a user's path may hold a comma, which would end it here.
log.dirs={data}

# With one broker there is one replica.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Small numbers of internal partitions start and recover sooner.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=1

# Busy or paused is not dead: a living broker that is declared dead loses all leadership for a moment.
broker.session.timeout.ms=30000

auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
# A topic takes messages of 1 MiB unless its own max.message.bytes allows more; nothing else here forbids that.
message.max.bytes=1048588
replica.fetch.max.bytes=8388608
socket.request.max.bytes=104857600
# The input of a ledger is kept, whatever its timestamps are; a topic may say otherwise, which takes effect soon.
log.retention.ms=-1
log.retention.check.interval.ms=5000
# The default of 128 MB would be a quarter of the heap.
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
"""

# The controller alone, see _give_up_the_dead.
_FENCING_PROPERTIES = """\
process.roles=controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=CONTROLLER://127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT
log.dirs={data}
broker.session.timeout.ms=300
broker.heartbeat.interval.ms=100
"""
_ACTIVE = "Performing controller activation."
_FENCED = "Fencing broker 1 "


class Kafka:
    """The broker of one stack. `folder` is the stack's."""

    def __init__(self, folder: Path, cache_dir: Path) -> None:
        self._home = folder / "kafka"
        self._logs = folder / "logs"
        self._pid_file = self._home / "kafka.pid"
        self._fencing_pid_file = self._home / "fencing.pid"
        self._cache_dir = cache_dir

    def begin_start(self, state: StackState, progress: Callable[[str], None]) -> None:
        """Start the broker unless it runs; `await_ready` waits for it.

        Raises:
            LocalStackError: no Java, no jars, its port is taken, or its data cannot be prepared.
        """
        if self.is_alive(state):
            self.resume(state)
            return
        self._end_fencing(state)
        for port in (state.kafka_port, state.controller_port):
            if not becomes_free(port, _PORT_SECONDS):
                raise LocalStackError(
                    f"port {port} of 127.0.0.1, which {state.folder} has for Kafka, is taken by another program. "
                    "End that program, or use another folder."
                )
        java = find_java()
        jars = class_path(self._cache_dir, progress)
        self._home.mkdir(exist_ok=True)
        self._write("server.properties", _PROPERTIES, state)
        keep_small(self._logs / "kafka.out")
        if not (self._home / "data").exists():
            self._format(state, java, jars)
        elif not (self._home / "data" / _LEFT_IN_ORDER).exists():
            progress("Kafka did not end in order: its controller gives up the dead broker first")
            self._give_up_the_dead(state, java, jars)
        self._spawn(
            [*self._java(java, _JVM, jars, state, "kafka.log"), "kafka.Kafka", "server.properties"], self._pid_file
        )

    def await_ready(self, state: StackState) -> None:
        """Wait until the broker answers and leads.

        Raises:
            LocalStackError: it ended, or did not answer in time.
        """
        deadline = time.monotonic() + _READY_SECONDS

        def is_ready_or_ended() -> bool:
            return self.answers(state) or not self.is_alive(state)

        if not processes.wait_until(is_ready_or_ended, deadline - time.monotonic()):
            raise LocalStackError(
                f"Kafka runs but did not become ready within {_READY_SECONDS} s; "
                f"its log is {self._logs / 'kafka.log'}. Run `connects local down`, then `up` again."
            )
        if not self.is_alive(state):
            why = last_line(self._logs / "kafka.log", "ERROR") or last_line(self._logs / "kafka.out")
            raise LocalStackError(
                f"Kafka ended while starting: {why or 'it said nothing'}. Its logs are in {self._logs}."
            )

    def answers(self, state: StackState) -> bool:
        """Whether the broker serves: its metadata names at least one broker that may lead partitions, itself."""
        # A Metadata request, version 1, for no topic. Its response counts the brokers: 0 until it is ready.
        request = struct.pack(">hhih1si", 3, 1, 1, 1, b"-", 0)
        try:
            with socket.create_connection(("127.0.0.1", state.kafka_port), timeout=_PROBE_SECONDS) as connection:
                connection.sendall(struct.pack(">i", len(request)) + request)
                answer = b""
                while len(answer) < 12:  # noqa: PLR2004 - length, correlation id, number of brokers: 4 bytes each
                    if not (more := connection.recv(12 - len(answer))):
                        return False
                    answer += more
        except OSError:
            return False
        return bool(struct.unpack(">iii", answer)[2] > 0)

    def is_alive(self, state: StackState) -> bool:
        """Whether the broker's process is there, answering or not."""
        return processes.is_alive(self.pid, state.token)

    def is_paused(self, state: StackState) -> bool:
        """Whether it is stopped by SIGSTOP."""
        return self.pid is not None and self.is_alive(state) and processes.is_paused(self.pid)

    @property
    def pid(self) -> int | None:
        """The last known pid; `is_alive` says whether it is still the broker's."""
        return processes.read_pid(self._pid_file)

    def stop(self, state: StackState) -> None:
        """Let the broker close its files and leave; after 30 s it is killed."""
        self.resume(state)
        self._end_fencing(state)
        if not self._end(state, signal.SIGTERM):
            self.kill(state)

    def kill(self, state: StackState) -> None:
        """End the broker as a crash would (SIGKILL)."""
        if not self._end(state, signal.SIGKILL):
            raise LocalStackError(f"Kafka, process {self.pid}, did not end within {_STOP_SECONDS} s of being killed.")

    def pause(self, state: StackState) -> None:
        """Stop the process where it is (SIGSTOP)."""
        processes.send(self.pid, state.token, signal.SIGSTOP)
        processes.wait_until(lambda: self.is_paused(state), _PROBE_SECONDS)

    def resume(self, state: StackState) -> None:
        """Let a paused process go on (SIGCONT)."""
        processes.send(self.pid, state.token, signal.SIGCONT)

    def delete(self) -> None:
        """Remove the broker's data."""
        shutil.rmtree(self._home, ignore_errors=True)

    def _end(self, state: StackState, number: signal.Signals) -> bool:
        return processes.end(self.pid, state.token, number, _STOP_SECONDS)

    def _format(self, state: StackState, java: Path, jars: Sequence[Path]) -> None:
        """Create the data folder under another name first, so that an interrupted `up` leaves nothing that is used."""
        for left_over in self._home.glob("data.unfinished-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        unfinished = self._home / f"data.unfinished-{secrets.token_hex(4)}"
        self._write("format.properties", _PROPERTIES, state, data=unfinished.name)
        answer = subprocess.run(  # noqa: S603 - Java and its arguments are ours
            [
                *self._java(java, _JVM_FOR_A_MOMENT, jars, state, "kafka-format.log"),
                "kafka.tools.StorageTool",
                *("format", f"--cluster-id={state.kafka_cluster_id}", "--config", "format.properties"),
            ],
            cwd=self._home,
            env=_java_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_FORMAT_SECONDS,
        )
        if answer.returncode != 0:
            said = (answer.stderr.strip() or answer.stdout.strip() or "no reason given").splitlines()[-1]
            raise LocalStackError(f"Kafka's data folder {self._home / 'data'} could not be made: {said}")
        unfinished.rename(self._home / "data")

    def _give_up_the_dead(self, state: StackState, java: Path, jars: Sequence[Path]) -> None:
        """After a crash, run the controller alone until it has written down that the broker is gone.

        Without this, Kafka 4.4.0 on one node loses transactions over a crash (KAFKA-20734): the new broker first
        believes itself the leader it was, takes up transactions whose commit was acknowledged, is then given up as the
        dead one it replaces, finds no leader, takes that for a deleted topic, and completes the transactions without
        their markers: a read_committed consumer never gets past them. With the old broker given up beforehand there is
        nothing to take up before the new one leads.
        """
        log = self._logs / "kafka-fencing.log"
        log.unlink(missing_ok=True)
        self._write("fencing.properties", _FENCING_PROPERTIES, state)
        self._spawn(
            [*self._java(java, _JVM_FOR_A_MOMENT, jars, state, log.name), "kafka.Kafka", "fencing.properties"],
            self._fencing_pid_file,
        )
        try:
            processes.wait_until(lambda: holds(log, _ACTIVE), _READY_SECONDS)
            # The controller never saw a broker alive that was killed before it led: then there is no such line.
            if processes.wait_until(lambda: holds(log, _FENCED), _FENCING_SECONDS):
                # The controller appends in order, at least an empty record every 0.5 s: with more on disk, so is that.
                appended = self._metadata_bytes()
                processes.wait_until(lambda: self._metadata_bytes() > appended, _FENCING_SECONDS)
        finally:
            self._end_fencing(state)

    def _end_fencing(self, state: StackState) -> None:
        """End the controller that ran alone, also one that an interrupted `up` left behind."""
        processes.end(processes.read_pid(self._fencing_pid_file), state.token, signal.SIGTERM, _STOP_SECONDS)

    def _metadata_bytes(self) -> int:
        segments = (self._home / "data" / "__cluster_metadata-0").glob("*.log")
        return sum(segment.stat().st_size for segment in segments)

    def _write(self, name: str, properties: str, state: StackState, *, data: str = "data") -> None:
        ports = {"kafka_port": state.kafka_port, "controller_port": state.controller_port}
        write_whole(self._home / name, properties.format(data=data, **ports))

    def _spawn(self, command: Sequence[str], pid_file: Path) -> None:
        processes.spawn_detached(
            command, cwd=self._home, output=self._logs / "kafka.out", pid_file=pid_file, environment=_java_environment()
        )

    def _java(
        self, java: Path, options: Sequence[str], jars: Sequence[Path], state: StackState, log_name: str
    ) -> list[str]:
        return [
            str(java),
            *options,
            f"-Dconnects.stack={state.token}",
            # Relative to the working directory, as its data is: then an odd folder name does no harm.
            f"-Dconnects.log=../{self._logs.name}/{log_name}",
            f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties').as_uri()}",
            *("-cp", ":".join(str(jar) for jar in jars)),
        ]


def _java_environment() -> dict[str, str]:
    """Return an environment in which Java can name every folder: some need a UTF-8 locale."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}
