"""What AWS answers, or does not, as Stanch's errors: mapped here and nowhere else.

Codes are those of the services' API references and of "Common errors" in the IAM API reference. Of an answer's text
nothing but the code is kept: messages name people, keys and policies.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from activities.connecting import wait_of
from activities.errors import (
    Ambiguous,
    AuthFailed,
    Conflict,
    ConnectorError,
    Forbidden,
    InvalidParams,
    NotFound,
    RateLimited,
    Rejected,
    Timeout,
    Unavailable,
)

DEAD_KEY = frozenset(
    {
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "UnrecognizedClientException",
        "ExpiredToken",
        "ExpiredTokenException",
    }
)
"""The access key does not count any more (or never did): inactive, deleted, or its session is over."""
BAD_SIGNATURE = frozenset({"SignatureDoesNotMatch", "IncompleteSignature", "InvalidSignatureException"})
NO_CREDENTIALS = frozenset({"AuthFailure", "MissingAuthenticationToken", "MissingAuthenticationTokenException"})
SKEWED = frozenset({"RequestExpired", "RequestTimeTooSkewed"})
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation", "OptInRequired"})
MISSING = frozenset({"NoSuchEntity", "NotFound", "NotFoundException", "ResourceNotFound", "ResourceNotFoundException"})
THROTTLED = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "SlowDown",
        "LimitExceededRate",
    }
)
CHANGING = frozenset({"EntityTemporarilyUnmodifiable", "ConcurrentModification", "ConcurrentModificationException"})
"""Somebody else is writing the same thing, or it was made a moment ago."""
STATE = frozenset(
    {
        "LimitExceeded",
        "LimitExceededException",
        "ResourceLimitExceeded",
        "DeleteConflict",
        "EntityAlreadyExists",
        "ConflictException",
        "ResourceInUse",
        "ResourceExistsException",
        "InvalidRequestException",
        "KMSInvalidStateException",
        "DisabledException",
    }
)


class Answer(dict[str, Any]):
    """A successful answer; a field that ought to be in it and is not makes it one that is not understood."""

    def __init__(self, fields: Mapping[str, Any], doing: str, *, write: bool) -> None:
        super().__init__(fields)
        self._doing, self._write = doing, write

    def __missing__(self, name: str) -> Any:
        if self._write:
            raise lost(self._doing)
        raise Unavailable(f"AWS gave an answer that is not understood ({self._doing}). Nothing was changed.")


class WriteRefused(Exception):
    """A request that may change something was about to leave a client that is for reading only."""


@contextmanager
def mapped(doing: str, *, write: bool = False) -> Iterator[None]:
    """Turn what botocore raises into Stanch's errors.

    Args:
        doing: What was being done, for the message, e.g. ``listing access keys``.
        write: Whether the request changes something, so that a lost answer is ambiguous.

    Raises:
        ConnectorError: See the tree of ``activities.errors``.
        InvalidParams: A value does not fit the call; nothing was sent.
    """
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    try:
        yield
    except exceptions.ClientError as error:
        raise of_answer(error.response, doing, write=write) from None
    except WriteRefused:
        raise Rejected(
            f"AWS, {doing}: only reads are allowed here, and this changes something. Nothing was sent."
        ) from None
    except exceptions.ParamValidationError:
        raise InvalidParams(
            f"AWS, {doing}: a value does not fit the call. Nothing was sent. Check the input."
        ) from None
    except (exceptions.ConnectTimeoutError, exceptions.EndpointConnectionError, exceptions.ProxyConnectionError):
        raise Unavailable(f"AWS cannot be reached ({doing}). Nothing was sent.") from None
    except exceptions.SSLError:
        raise Unavailable(f"AWS shows a certificate that is not trusted ({doing}). Nothing was sent.") from None
    except exceptions.ReadTimeoutError:
        if write:
            raise lost(doing) from None
        raise Timeout(f"AWS did not answer in time ({doing}). Nothing was changed.") from None
    except (exceptions.HTTPClientError, exceptions.ConnectionClosedError, exceptions.ResponseStreamingError):
        if write:
            raise lost(doing) from None
        raise Unavailable(f"The answer of AWS broke off ({doing}). Nothing was changed.") from None
    except (
        exceptions.BotoCoreError,
        ResponseParserError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
    ) as error:
        if write:
            raise lost(doing) from None
        raise Unavailable(
            f"AWS gave an answer that is not understood ({doing}, {type(error).__name__}). Nothing was changed."
        ) from None


def code_of(answer: Any) -> str:
    """The stable code of an error answer; empty if it has none or an odd one."""
    error = answer.get("Error") or {}
    found = str(error.get("Code") or "")
    if found.isdigit():
        # A gateway in front of a JSON service refuses in XML, which botocore hands on as the message.
        inside = re.search(r"<Code>([A-Za-z.]{1,60})</Code>", str(error.get("Message") or ""))
        found = inside[1] if inside else ""
    # What a system answers is not trusted in a message, beyond its shape.
    return found if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.]{0,60}", found) else ""


def of_answer(answer: Any, doing: str, *, write: bool) -> ConnectorError:
    """The error for an answer that is not a success."""
    code, meta = code_of(answer), answer.get("ResponseMetadata") or {}
    status = int(meta.get("HTTPStatusCode") or 0)
    said = f"AWS, {doing}: {status} {code}".rstrip()
    if code in THROTTLED or status == 429:
        wait = wait_of(meta.get("HTTPHeaders"), "retry-after")
        return RateLimited(f"{said}. Nothing was changed; it is tried again later.", wait)
    if code in DEAD_KEY or code in BAD_SIGNATURE or code in NO_CREDENTIALS:
        return AuthFailed(
            f"{said}. AWS does not accept Stanch's own access key. Nothing was done. Look whether it was deleted, made "
            "inactive or replaced; `stanch doctor` tries again."
        )
    if code in SKEWED:
        return AuthFailed(f"{said}. This machine's clock is wrong. Nothing was done. Set the clock.")
    if code in DENIED:
        return Forbidden(
            f"{said}. Stanch's user lacks a permission. Nothing was done. The action's reference names it."
        )
    if code in MISSING:
        return NotFound(f"{said}. It is not there.")
    if code in CHANGING:
        return Unavailable(f"{said}. Somebody else was changing the same thing. Nothing was changed.")
    if status >= 500:
        return lost(doing) if write else Unavailable(f"{said}. Nothing was changed.")
    if code in STATE:
        return Conflict(f"{said}. Its state or a limit does not allow it. Nothing was changed.")
    if status == 403:
        return Forbidden(f"{said}. Nothing was done.")
    return Rejected(f"{said}. Nothing was done.")


def lost(doing: str) -> Ambiguous:
    """The error where a request that changes something was sent and its end not seen."""
    return Ambiguous(f"The answer of AWS was lost ({doing}): it may have been done. It is read back first.")
