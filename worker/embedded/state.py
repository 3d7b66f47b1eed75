"""The facts of a stack that are kept between commands: its token, its ports, and where its data is."""

import json
import random
import secrets
import socket
import uuid
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from worker.embedded.files import write_whole
from worker.embedded.processes import wait_until
from worker.errors import LocalStackError, WrongFolder

FILE_NAME, LOCK = "stack.json", "lock"

DEMO_LOCK, DEMO_POLICY = "demo.lock", "demo-policy.toml"
"""Files of the demo beside its stack; they are deleted with it."""

# Below the range from which systems draw ports for outgoing connections: there, a client that retries while the broker
# is down could be given the broker's own port, and a broker could not come back.
PORTS = range(20_000, 32_000)
_PORT_ATTEMPTS = 1_000


@dataclass(frozen=True)
class StackState:
    """The facts of one stack; none of them changes while it runs."""

    folder: str
    token: str
    kafka_cluster_id: str
    kafka_port: int
    controller_port: int
    postgres_port: int
    postgres_home: str | None = None
    """Set when PostgreSQL runs as another user who cannot reach `folder`."""
    postgres_user: str | None = None
    """The user that PostgreSQL runs as, if that is not the user of the stack."""
    for_demo: bool = False
    """Whether the demo created it, which empties it each time. It is deleted with the stack: a stack that somebody
    creates later in the same folder is theirs."""


def load(folder: Path) -> StackState | None:
    """Return the stored state; None for a folder without one.

    Raises:
        LocalStackError: the file cannot be understood.
    """
    try:
        text = (folder / FILE_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        state = StackState(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise WrongFolder(
            f"{folder / FILE_NAME} is not a state file of the embedded stack ({error}). "
            "Use another folder, or delete that file if no stack runs from here."
        ) from error
    return state if state.folder == str(folder) else _at_home_in(folder, state)


def save(folder: Path, state: StackState) -> StackState:
    """Store the state, and return it."""
    write_whole(folder / FILE_NAME, json.dumps(asdict(state), indent=2) + "\n")
    return state


def new(folder: Path, *, for_demo: bool = False) -> StackState:
    """Return the state of a stack that has never run."""
    kafka, controller, postgres = free_ports(3)
    return StackState(
        folder=str(folder),
        token=f"connects-local-{secrets.token_hex(8)}",
        kafka_cluster_id=urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="),
        kafka_port=kafka,
        controller_port=controller,
        postgres_port=postgres,
        for_demo=for_demo,
    )


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that no program listens on now."""
    found: list[int] = []
    for _ in range(_PORT_ATTEMPTS):
        port = random.choice(PORTS)  # noqa: S311 - a spread against collisions, not a secret
        if port not in found and is_free(port):
            found.append(port)
            if len(found) == count:
                return found
    raise LocalStackError(
        f"no {count} free ports were found on 127.0.0.1 between {PORTS[0]} and {PORTS[-1]}. Free some."
    )


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as the servers do: a closed connection does not own the port
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def becomes_free(port: int, timeout_seconds: float) -> bool:
    """Wait until a port is free: the process that had it may still be ending. Return False if it was not in time."""
    return wait_until(lambda: is_free(port), timeout_seconds)


def _at_home_in(folder: Path, state: StackState) -> StackState:
    """Return the state of a folder that was moved; a copy is refused: it has the original's ports and processes."""
    original = Path(state.folder) / FILE_NAME
    if original.exists() and not original.samefile(folder / FILE_NAME):
        raise WrongFolder(
            f"{folder} is a copy of the embedded stack in {state.folder}, and only one of them can run. "
            "Use that one, or an empty folder."
        )
    return save(folder, replace(state, folder=str(folder)))
