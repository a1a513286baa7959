"""A page by direct message: wanted once under its key, and undelivered where it cannot be."""

import pytest

from worker.paging.channels import Call, Undelivered
from worker.slack.blocks import Message
from worker.slack.pages import SlackPages


class Direct:
    """Remembers what is wanted; knows Amal only, and shows what it is wanted to unless it is down."""

    def __init__(self) -> None:
        self.wanted: dict[str, Message] = {}
        self.down = False

    def stands(self, message_key: str) -> tuple[str, str] | None:
        """Where it stands."""
        return None if self.down or message_key not in self.wanted else ("D1", "1.0")

    def want_dm(self, key: str, person: str, message: Message, *, incident: str = "") -> bool:
        """Want it."""
        if person == "amal":
            self.wanted[key] = message
        return person == "amal"


async def test_a_page_is_wanted_once_and_says_what_to_do() -> None:
    pages, direct = SlackPages(patience=0.1), Direct()
    page = Call("k1", "p1", "INC-2026-1", "exercise", 4, "Approve the freeze", ("Open the card",))
    with pytest.raises(Undelivered, match="not open"):
        await pages.send(page, "amal", "")
    pages.direct = direct
    await pages.send(page, "amal", "")
    await pages.send(page, "amal", "")
    ((key, said),) = direct.wanted.items()
    assert key == "INC-2026-1:page:k1" and "Approve the freeze" in said.text
    assert "EXERCISE" in str(said.blocks) and "Open the card" in str(said.blocks)
    with pytest.raises(Undelivered, match="no account"):
        await pages.send(page, "bo", "")
    direct.down = True
    with pytest.raises(Undelivered, match="not shown"):
        await pages.send(page, "amal", "")
