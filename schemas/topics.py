"""How an event says on which topic it is sent: above its class, with the key that producers use and an example."""

from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, TypeVar

from pydantic import JsonValue

from schemas.base import InputEvent

Event = TypeVar("Event", bound=type[InputEvent])


class Topic(NamedTuple):
    """An input topic: its name, its event, the field that producers use as the key, and one valid event."""

    name: str
    event: type[InputEvent]
    key: str
    example: Mapping[str, JsonValue]


class InSubject(NamedTuple):
    """Marks a field of an event that the subject of wallet-updated names, too; `description` is for its readers."""

    description: str


declared: Final[list[Topic]] = []
"""The topics of all events that were imported; schemas/inputs.py imports all."""


def on_topic(
    name: str, *, key: Literal["freelancer_id", "job_id"], example: Mapping[str, JsonValue]
) -> Callable[[Event], Event]:
    """Declare an input topic; put above the class of its events.

    Raises:
        ValueError: another event has that topic.
    """

    def declare(event: Event) -> Event:
        if any(topic.name == name for topic in declared):
            raise ValueError(f"two events say that they are sent on {name}; a topic has one")
        declared.append(Topic(name, event, key, example))
        return event

    return declare
