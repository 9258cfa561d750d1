"""The bases of what the API accepts and returns, the types of their fields, and what a refusal says."""

from typing import Annotated

import msgspec
from msgspec import Meta

from chalicelib.api.ids import OPERATION

Operation = Annotated[str, Meta(pattern=f"^{OPERATION}$", description="such as send.email")]
Id = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]+$", description="opaque; every listing contains it")]
Ids = Annotated[list[Id], Meta(min_length=1, max_length=1000)]
Moment = Annotated[str, Meta(description="ISO 8601, UTC, with Z")]
Cursor = Annotated[str, Meta(min_length=1, description="nextCursor of the previous page")]
PageSize = Annotated[int, Meta(ge=1, le=200)]
Reason = Annotated[str, Meta(min_length=1, max_length=100)]


class ResponseModel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of what the API returns."""


class RequestModel(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of what the API accepts: an unknown field is most likely a typing error, so it is refused."""


class Problem(msgspec.Struct, frozen=True):
    """Why a call was refused. `Message` names the field at fault and its rule."""

    Code: str
    Message: str
