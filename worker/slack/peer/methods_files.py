"""``files.*``: an upload in three steps (docs.slack.dev/messaging/working-with-files)."""

from worker.slack.peer.calls import Call, Json, method
from worker.slack.peer.methods_chat import put, thread_of
from worker.slack.peer.state import File, Refused


def file_json(file: File, team: str) -> Json:
    """A file as Slack gives it."""
    return {
        "id": file.id,
        "created": file.created,
        "timestamp": file.created,
        "name": file.name,
        "title": file.title or file.name,
        "mimetype": "text/markdown" if file.name.endswith(".md") else "application/octet-stream",
        "filetype": file.name.rpartition(".")[2],
        "user": file.user,
        "user_team": team,
        "size": file.length,
        "mode": "hosted",
        "channels": file.channels,
    }


@method("files.getUploadURLExternal", "files:write", tier=4)
def get_upload_url(call: Call) -> Json:
    """Where to send a file of this name and length."""
    name, length = call.text("filename"), call.number("length", 0)
    if not name:
        raise Refused("missing_argument", "missing required field: filename")
    if length < 1:
        raise Refused("missing_argument", "missing required field: length")
    state = call.state
    file = File(state.id("F"), name, length, state.bot_user_id, int(state.clock()))
    state.files[file.id] = file
    return {"upload_url": f"{call.url}/upload/{file.id}", "file_id": file.id}


@method("files.completeUploadExternal", "files:write", tier=4)
def complete_upload(call: Call) -> Json:
    """The uploads are whole; shared as one message if a channel is named."""
    given = call.json("files")
    if not isinstance(given, list) or not given:
        raise Refused("invalid_arguments", "missing required field: files")
    found = []
    for each in given:
        file = call.state.files.get(str(each.get("id")))
        if file is None or not file.uploaded:
            raise Refused("file_not_found")
        found.append((file, str(each.get("title") or "")))
    names = [each for each in (call.text("channel_id"), *call.text("channels").split(",")) if each]
    channels = [call.state.channel(each) for each in names]
    for channel in channels:
        call.member_of(channel)
        if channel.archived:
            raise Refused("is_archived")
    thread = thread_of(call, channels[0]) if channels else None
    for file, title in found:
        file.title = title
    for channel in channels:
        for file, _ in found:
            file.channels.append(channel.id)
        shown = [file_json(file, call.state.team_id) for file, _ in found]
        put(call.state, channel, call.text("initial_comment"), [], thread_ts=thread, files=shown)
    return {"files": [file_json(file, call.state.team_id) for file, _ in found]}


@method("files.info", "files:read", tier=4)
def files_info(call: Call) -> Json:
    """One file."""
    file = call.state.files.get(call.required("file"))
    if file is None or not file.uploaded:
        raise Refused("file_not_found")
    return {"file": file_json(file, call.state.team_id)}


@method("files.list", "files:read", tier=3)
def files_list(call: Call) -> Json:
    """Files shared, by channel if asked."""
    channel = call.text("channel")
    found = [
        file_json(each, call.state.team_id)
        for each in call.state.files.values()
        if each.uploaded and (not channel or channel in each.channels)
    ]
    return {"files": found, "paging": {"count": 100, "total": len(found), "page": 1, "pages": 1}}
