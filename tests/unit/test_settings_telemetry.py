"""Log lines: nothing secret, whoever wrote it."""

import json
import logging

import pytest

from worker.telemetry import RedactingFormatter, redacted


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer hunter2.abc",
        "POST /services/oauth2/token assertion=hunter2&grant_type=x",
        '{"access_token": "hunter2"}',
        "session 00D5g0000012345!hunter2.AQ refused",
        "url=https://x/?sid=hunter2",
    ],
)
def test_tokens_are_taken_out(text):
    assert "hunter2" not in redacted(text)
    assert "[redacted]" in redacted(text)


def test_an_exception_is_logged_by_type_and_place_only():
    try:
        raise KeyError("password=hunter2")
    except KeyError:
        import sys

        record = logging.LogRecord("stanch", logging.ERROR, "f", 1, "it %s", ("broke",), sys.exc_info())
    line = json.loads(RedactingFormatter(as_json=True).format(record))
    assert line["message"].startswith("it broke (KeyError at ")
    assert "hunter2" not in RedactingFormatter().format(record)
