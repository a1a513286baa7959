"""Files in Slack: sent, shared as a message, and found again by their name, which holds a part of their hash."""

from typing import Any

from playbooks.digest import sha256_hex
from worker.slack.client import Later, SlackClient, Uncertain

DIGITS = 8


def versioned(name: str, content: bytes) -> str:
    """A file's name with the first digits of its SHA-256: another content is another file."""
    stem, dot, suffix = name.rpartition(".")
    part = sha256_hex(content)[:DIGITS]
    return f"{stem}-{part}{dot}{suffix}" if dot else f"{name}-{part}"


async def send(client: SlackClient, name: str, content: bytes) -> str:
    """Bring a file's bytes to Slack, where nobody sees them yet; the file's id.

    Raises:
        Later, Refused: it is not there, and nothing is seen of it.
    """
    try:
        given = await client.call("files_getUploadURLExternal", filename=name, length=len(content))
    except Uncertain as error:
        raise Later(error.code) from None
    await client.upload(str(given["upload_url"]), content)
    return str(given["file_id"])


async def share(client: SlackClient, file: str, title: str, channel: str) -> None:
    """Show a file that was sent as a message of a channel; raises as ``SlackClient.call``."""
    await client.call("files_completeUploadExternal", files=[{"id": file, "title": title}], channel_id=channel)


def named(message: dict[str, Any], name: str) -> str | None:
    """The id of the file of this name in a message."""
    return next((str(file["id"]) for file in message.get("files") or () if file.get("name") == name), None)
