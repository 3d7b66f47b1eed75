"""What a stack remembers between commands: its name for its processes, its ports, where its data is."""

import json
import random
import secrets
import socket
import uuid
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from worker.local.errors import LocalStackError, WrongFolder
from worker.local.files import write_whole
from worker.local.processes import wait_until

FILE_NAME, LOCK = "stack.json", "lock"

DEMO_LOCK, DEMO_POLICY = "demo.lock", "demo-policy.toml"
"""What the demo keeps beside its stack, and what goes with it."""

# Below the range from which systems draw ports for outgoing connections: there, a client that retries while the broker
# is down could be given the broker's own port, and a broker could not come back.
_FIRST_PORT, _LAST_PORT = 20_000, 32_000
_PORT_ATTEMPTS = 1_000


@dataclass(frozen=True)
class StackState:
    """The facts of one stack; nothing here changes while it runs."""

    folder: str
    token: str
    kafka_cluster_id: str
    kafka_port: int
    controller_port: int
    postgres_port: int
    postgres_home: str | None = None
    """Set when PostgreSQL runs as another user who cannot reach `folder`."""
    postgres_user: str | None = None
    """Whom PostgreSQL runs as, when that is not the user of the stack."""
    for_demo: bool = False
    """Whether the demo made it, which empties it each time. It goes with the stack: whoever makes one anew in the
    same folder has one of their own."""


def load(folder: Path) -> StackState | None:
    """The remembered state; None for a folder without one.

    Raises:
        LocalStackError: the file cannot be understood.
    """
    try:
        text = (folder / FILE_NAME).read_text()
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
    """Remember the state; returns it."""
    write_whole(folder / FILE_NAME, json.dumps(asdict(state), indent=2) + "\n")
    return state


def new(folder: Path, *, for_demo: bool = False) -> StackState:
    """The state of a stack that has never run."""
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
    """Ports of 127.0.0.1 that nobody listens on now."""
    found: list[int] = []
    for _ in range(_PORT_ATTEMPTS):
        port = random.randint(_FIRST_PORT, _LAST_PORT)  # noqa: S311 - a spread against collisions, not a secret
        if port not in found and is_free(port):
            found.append(port)
            if len(found) == count:
                return found
    raise LocalStackError(
        f"no {count} free ports were found on 127.0.0.1 between {_FIRST_PORT} and {_LAST_PORT}. Free some."
    )


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as the servers do: a closed connection is no owner
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def becomes_free(port: int, timeout_seconds: float) -> bool:
    """Wait for a port to be free: the one who had it may still be dying. False when it was not in time."""
    return wait_until(lambda: is_free(port), timeout_seconds)


def _at_home_in(folder: Path, state: StackState) -> StackState:
    """The state of a folder that was moved; a copy is refused, for its ports and processes are the original's."""
    original = Path(state.folder) / FILE_NAME
    if original.exists() and not original.samefile(folder / FILE_NAME):
        raise WrongFolder(
            f"{folder} is a copy of the embedded stack in {state.folder}, and only one of them can run. "
            "Use that one, or an empty folder."
        )
    return save(folder, replace(state, folder=str(folder)))
