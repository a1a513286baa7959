"""What the page and tests read and do over HTTP, under ``/_peer/``: state, calls, files, act, faults."""

from typing import TYPE_CHECKING, Any

from aiohttp import web

from worker.slack.peer.delivery import NotAcknowledged
from worker.slack.peer.driver import Person
from worker.slack.peer.messages import message_json
from worker.slack.peer.methods_files import file_json
from worker.slack.peer.screen import CannotDo
from worker.slack.peer.state import Workspace
from worker.slack.peer.view_answers import BadAnswer

if TYPE_CHECKING:
    from worker.slack.peer.server import SlackPeer

Json = dict[str, Any]
ACTS = (
    *("command", "click", "press", "press_home", "submit", "close", "shortcut", "react", "unreact"),
    *("open_home", "say", "forward", "sees", "join", "leave"),
)


def snapshot(state: Workspace) -> Json:
    """The whole workspace as JSON: who is here, what each channel says and said, open views, files."""
    return {
        "team": {"id": state.team_id, "name": state.team_name, "bot_user_id": state.bot_user_id},
        "users": [
            {
                "id": each.id,
                "name": each.name,
                "real_name": each.real_name,
                "email": each.email,
                "team": each.team,
                "is_bot": each.is_bot,
                "stranger": each.stranger,
                "views": state.stacks.get(each.id, []),
                "errors": {view["id"]: state.view_errors.get(view["id"], {}) for view in state.stacks.get(each.id, [])},
                "home": each.home,
            }
            for each in state.users.values()
        ],
        "channels": [
            {
                "id": each.id,
                "name": each.name,
                "is_private": each.is_private,
                "is_im": each.is_im,
                "archived": each.archived,
                "topic": each.topic,
                "purpose": each.purpose,
                "creator": each.creator,
                "members": each.members,
                "pins": each.pins,
                "bookmarks": each.bookmarks,
                "messages": [
                    message_json(message, state.team_id, metadata=True, replies=state.replies(message))
                    | {
                        "deleted": message.deleted,
                        "forwarded": message.forwarded,
                        "renderings": [vars(rendering) for rendering in message.renderings],
                    }
                    for _, message in sorted(each.messages.items())
                ],
                "ephemerals": [
                    message_json(message, state.team_id) | {"seen_by": message.seen_by, "deleted": message.deleted}
                    for message in each.ephemerals
                ],
            }
            for each in state.channels.values()
        ],
        "files": [file_json(each, state.team_id) for each in state.files.values() if each.uploaded],
    }


class Control:
    """The control side of a workspace; no part of Slack."""

    def __init__(self, peer: "SlackPeer") -> None:
        """Of this workspace."""
        self._peer = peer

    def routes(self, app: web.Application) -> None:
        """Adds its paths."""
        app.router.add_get("/_peer/state", self.state)
        app.router.add_get("/_peer/calls", self.calls)
        app.router.add_get("/_peer/files/{file}", self.file)
        app.router.add_post("/_peer/act", self.act)
        app.router.add_get("/_peer/faults", self.faults)
        app.router.add_post("/_peer/faults", self.add_fault)
        app.router.add_delete("/_peer/faults", self.clear_faults)

    async def state(self, _: web.Request) -> web.Response:
        """Everything, as ``snapshot`` says."""
        return web.json_response(snapshot(self._peer.state))

    async def calls(self, _: web.Request) -> web.Response:
        """The log of the app's calls."""
        return web.json_response([each.view() for each in self._peer.calls])

    async def file(self, request: web.Request) -> web.Response:
        """The bytes of a file."""
        file = self._peer.state.files.get(request.match_info["file"])
        if file is None:
            raise web.HTTPNotFound
        return web.Response(body=file.content, content_type="application/octet-stream")

    async def act(self, request: web.Request) -> web.Response:
        """``{"user": id, "do": "click", …}`` with the arguments of that method of ``Person``; what it returned."""
        given = await request.json()
        user, act = given.pop("user", ""), given.pop("do", "")
        if user not in self._peer.state.users or act not in ACTS:
            return web.json_response({"error": "no such user or act"}, status=400)
        try:
            result = getattr(Person(self._peer, user), act)(**given)
            return web.json_response({"result": result if isinstance(result, list) else await result})
        except (CannotDo, NotAcknowledged, BadAnswer) as error:
            return web.json_response({"error": str(error)}, status=409)
        except TypeError as error:
            return web.json_response({"error": str(error)}, status=400)

    async def faults(self, _: web.Request) -> web.Response:
        """The rules in force."""
        return web.json_response(self._peer.faults.view())

    async def add_fault(self, request: web.Request) -> web.Response:
        """A new rule, ``{"down": true}`` or ``{"down": false}``."""
        given = await request.json()
        if "down" in given:
            (self._peer.faults.take_down if given["down"] else self._peer.faults.bring_up)()
            return web.json_response(self._peer.faults.view())
        try:
            rule = self._peer.faults.add_given(given)
        except (TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"id": rule.id})

    async def clear_faults(self, _: web.Request) -> web.Response:
        """No rule any more."""
        self._peer.faults.clear()
        return web.json_response(self._peer.faults.view())
