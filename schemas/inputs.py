"""All input topics, family by family; each event declares its own (`on_topic`)."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Final

from schemas.base import InputEvent
from schemas.topics import Topic, declared

_FAMILIES: Final = ("jobs", "proposals", "earning", "credits", "memberships")


def _topics() -> tuple[Topic, ...]:
    modules = [import_module(f"schemas.{family}").__name__ for family in _FAMILIES]
    return tuple(sorted(declared, key=lambda topic: modules.index(topic.event.__module__)))


TOPICS: Final = _topics()
INPUT_TOPICS: Final[Mapping[str, type[InputEvent]]] = MappingProxyType({topic.name: topic.event for topic in TOPICS})
