"""Reading the arguments of commands: a row in the table `commands` may hold anything."""

from typing import Any, TypeVar

import msgspec

from worker.errors import WorkerError

Asked = TypeVar("Asked")


class WrongArguments(WorkerError):
    """What no command can be about: the text says what is wrong. It is answered, never raised to a caller."""


def read_arguments(arguments: dict[str, Any], kind: type[Asked]) -> Asked:
    """The arguments of a command, as the struct that they are.

    Raises:
        WrongArguments: they are something else.
    """
    try:
        return msgspec.convert(arguments, kind)
    except msgspec.ValidationError as error:
        raise WrongArguments(str(error)) from None
