"""Changing single settings of a topic, which aiokafka has no request for: its AlterConfigs resets all others."""

from collections.abc import Mapping
from typing import ClassVar

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

_TOPIC: int = 2
_SET: int = 0


class _IncrementalAlterConfigsResponseV0(Response):  # type: ignore[misc]  # aiokafka has no type information
    API_KEY: ClassVar[int] = 44
    API_VERSION: ClassVar[int] = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "resources",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class _IncrementalAlterConfigsRequestV0(RequestStruct):  # type: ignore[misc]
    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = _IncrementalAlterConfigsResponseV0
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                (
                    "configs",
                    Array(("name", String("utf-8")), ("config_operation", Int8), ("value", String("utf-8"))),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class SetTopicSettings(Request[_IncrementalAlterConfigsRequestV0]):  # type: ignore[misc]
    """Set some settings of topics and leave all others as they are. Brokers know it since 2.3."""

    API_KEY = 44

    def __init__(self, settings: Mapping[str, Mapping[str, str]]) -> None:
        self._settings = settings

    def build(self, request_struct_class: type) -> RequestStruct:
        """The request in the one version that is needed."""
        del request_struct_class
        resources = [
            (_TOPIC, topic, [(name, _SET, value) for name, value in settings.items()])
            for topic, settings in self._settings.items()
        ]
        return _IncrementalAlterConfigsRequestV0(resources, False)
