"""What the clients of all systems do alike."""

from datetime import timedelta

import pytest
from pydantic import BaseModel

from activities.connecting import settings_of, wait_of
from activities.errors import AuthFailed


class Acme(BaseModel):
    """Settings of a system."""

    url: str
    token: str = ""


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("0", 0), ("7", 7), ("3600", 3600), ("3601", 3600), ("9" * 5000, 3600), ("", None), ("-1", None), ("²", None)],
)
def test_a_server_may_ask_us_to_wait_an_hour_at_most(said: str, seconds: int | None) -> None:
    assert wait_of({"Retry-After": said}) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize("headers", [None, {}, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}])
def test_who_says_no_seconds_asks_for_no_wait(headers: dict[str, str] | None) -> None:
    assert wait_of(headers) is None


def test_settings_are_read_once() -> None:
    read = settings_of(Acme, "acme", {"url": "https://acme.example"})
    assert settings_of(Acme, "acme", read) is read


def test_settings_that_cannot_be_used_are_named_and_never_shown() -> None:
    with pytest.raises(AuthFailed, match=r"systems\.acme: url: .* Mend the settings") as refused:
        settings_of(Acme, "acme", {"token": "swordfish"})
    assert "swordfish" not in str(refused.value)
