"""The Metadata request in the version that tells topic ids, which aiokafka does not have."""

from typing import ClassVar, TypeAlias

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_NO_TOPIC_ID = bytes(16)


class _Uuid(AbstractType):  # type: ignore[misc]  # aiokafka has no type information
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: "_Readable") -> bytes:
        return data.read(16)


class _Readable:
    def read(self, size: int) -> bytes: ...  # type: ignore[empty-body]


class _MetadataResponseV12(Response):  # type: ignore[misc]
    API_KEY: ClassVar[int] = 3
    API_VERSION: ClassVar[int] = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequestV12(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponseV12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("topic", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


_MetadataRequestStruct: TypeAlias = MetadataRequest_v5 | _MetadataRequestV12


class TopicsRequest(Request[_MetadataRequestStruct]):  # type: ignore[misc]
    """Ask what is known of some topics; makes none. Brokers before 3.1 answer without topic ids.

    `with_rights`: also what this user may do there, which those brokers do not tell.
    """

    API_KEY = 3

    def __init__(self, topics: list[str], *, with_rights: bool = False) -> None:
        self._topics, self._with_rights = topics, with_rights

    def build(self, request_struct_class: type) -> RequestStruct:
        """The request in the version that this broker understands."""
        if request_struct_class is _MetadataRequestV12:
            tags: dict[int, bytes] = {}
            topics = [(_NO_TOPIC_ID, topic, tags) for topic in self._topics]
            return _MetadataRequestV12(topics, False, self._with_rights, tags)
        return MetadataRequest_v5(self._topics, False)
