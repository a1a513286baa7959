"""Size limit of request bodies, kept while they arrive, so that a huge one never fills memory."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.api.problems import problem

JSON_LIMIT = 256 * 1024
ALERT_LIMIT = 2 * 1024 * 1024


class _TooLarge(Exception):
    pass


class BodyLimit:
    """Refuses bodies over the limit with 413: alerts 2 MB, all else 256 KB."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting its bytes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = ALERT_LIMIT if scope["path"].startswith("/v1/alerts/") else JSON_LIMIT
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > limit:
                await self._refuse(scope, receive, send, limit)
                return
        seen, begun = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except _TooLarge:
            if not begun:
                await self._refuse(scope, receive, send, limit)

    @staticmethod
    async def _refuse(scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        answer = problem(413, "too_large", f"The body is over {limit} bytes. Nothing was kept or done.")
        await answer(scope, receive, send)
