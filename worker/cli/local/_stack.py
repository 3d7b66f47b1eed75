"""What the commands of the embedded stack share."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from worker.embedded.stack import LocalStack, StackAddresses, default_folder


def _named_folder(name: str) -> Path:
    """The folder of that name. An empty one, as of a variable that is not set, would be the working directory."""
    if not name:
        raise typer.BadParameter("the name is empty")
    with suppress(OSError):  # a name that the system does not take is refused by the stack, in words
        if Path(name).is_file():
            raise typer.BadParameter(f"{name} is a file, not a folder")
    return Path(name)


Folder = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        parser=_named_folder,
        help="The folder of all its data, ports and logs. Default: a folder in the user's cache.",
    ),
]


def stack_in(folder: Path | None) -> LocalStack:
    """The stack in that folder, or in the usual one."""
    return LocalStack(default_folder() if folder is None else folder)


def settings_of(addresses: StackAddresses) -> dict[str, str]:
    """The two settings with which a worker uses the stack."""
    return {"kafka_bootstrap_servers": addresses.kafka_bootstrap, "database_url": addresses.database_url}
