"""Bodies and signatures of requests (docs.slack.dev/authentication/verifying-requests-from-slack)."""

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode


def signed(secret: str, body: bytes, now: float) -> dict[str, str]:
    """The two headers that prove where a request comes from."""
    timestamp = str(int(now))
    digest = hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": f"v0={digest}"}


def body_of(type_: str, payload: dict[str, Any]) -> tuple[str, bytes]:
    """Content type and body of a delivery: events as JSON, commands as a form, the rest as a form's ``payload``."""
    if type_ == "events_api":
        return "application/json", json.dumps(payload).encode()
    form = payload if type_ == "slash_commands" else {"payload": json.dumps(payload)}
    return "application/x-www-form-urlencoded", urlencode(form).encode()
