"""What all messages share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.fields import EventId, Instant


class Message(BaseModel):
    """A message of the contract: immutable, read strictly, tolerant of fields it does not know.

    Strictly: `"5"`, `5.0` and `true` are no integers.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        use_attribute_docstrings=True,
        # Ids hardly ever repeat: caching values as well costs a tenth of the reading time and saves nothing.
        cache_strings="keys",
    )


class InputEvent(Message):
    """A fact that the marketplace tells; `event_id` and `occurred_at` stand in every one."""

    event_id: EventId
    occurred_at: Annotated[Instant, Field(description="When it happened: RFC 3339 with an offset.")]
