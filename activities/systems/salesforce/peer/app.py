"""The simulated Salesforce as an ASGI application: authentication, limits, faults, routes, log."""

import asyncio
from typing import Any
from urllib.parse import unquote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from activities.systems.salesforce.peer.faults import Faults, Rule
from activities.systems.salesforce.peer.jobs import Jobs
from activities.systems.salesforce.peer.oauth import OAuth
from activities.systems.salesforce.peer.rest import Rest
from activities.systems.salesforce.peer.state import Org
from activities.systems.salesforce.peer.wire import Call, OAuthRefusal, Refusal

LONGEST_URL = 16_384
ACCESS_LOGS = ("EventLogFile:", "LoginHistory", "SetupAuditTrail")
"""What counts as reading access logs: files' bytes, not their list."""
LOGIN_HOSTS = ("login.salesforce.com", "test.salesforce.com")


class SalesforcePeer:
    """One simulated org over HTTP. Requests are carried out one at a time, in the loop's thread.

    Args:
        org: Its state.
        integrations: Consumer key to actor, for apps that sign in without a grant.
    """

    name = "salesforce"

    def __init__(self, org: Org, integrations: dict[str, str]) -> None:
        self.org = org
        self.faults = Faults()
        oauth = OAuth(org, integrations)
        self._who_signs_in = oauth.who_signs_in
        self._routes = [
            *oauth.routes(),
            *Jobs(org).routes(),
            *Rest(org).routes(),
        ]

    def owns(self, host: str) -> bool:
        """Whether a Host header names this system."""
        return host.split(":")[0] in (self.org.host, *LOGIN_HOSTS)

    def view(self) -> dict[str, Any]:
        """Its state, without secrets."""
        return self.org.view()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        call = Call(
            request.method,
            request.url.path,
            dict(request.query_params),
            {name.lower(): value for name, value in request.headers.items()},
            await request.body(),
        )
        bearer = call.headers.get("authorization", "")
        if bearer.startswith("Bearer "):
            call.who = self.org.by_token(bearer[7:])
            call.acted = self.org.holders.get(bearer[7:])
        elif call.path.startswith("/services/oauth2/"):
            call.acted = self._who_signs_in(call)
        method, path, actor = call.method, call.path, call.actor
        query = unquote_plus(request.url.query)
        response: Response | None = None
        for rule in self.faults.strike(method, path, query, actor, after=False):
            if rule.kind == "latency":
                await asyncio.sleep(rule.seconds)
            elif rule.kind == "hold":
                await self.faults.hold(rule, method, path, actor)
            elif rule.kind == "drop":
                self._log(call, 0)
                return _abort(receive)
            else:
                response = _fault(rule)
        if response is None:
            response = self._carry_out(call, len(request.url.query))
        # Before any holding back: the log is in the order of what was done.
        self._log(call, response.status_code)
        for rule in self.faults.strike(method, path, query, call.actor, after=True):
            if rule.kind == "hold_after_commit":
                await self.faults.hold(rule, method, path, call.actor)
            elif rule.kind == "drop_after_commit":
                return _abort(receive)
            else:
                response = _fault(rule)
        await response(scope, receive, send)

    def _carry_out(self, call: Call, query_length: int) -> Response:
        if len(call.path) + query_length > LONGEST_URL:
            return Response("URI Too Long", 414, media_type="text/html")
        rest = call.path.startswith("/services/data/v")
        try:
            if rest:
                self._count(call)
            found = self._serve(call)
        except (Refusal, OAuthRefusal) as refusal:
            found = refusal.response()
        if rest:
            found.headers["Sforce-Limit-Info"] = f"api-usage={self.org.api_used}/{self.org.api_limit}"
        return found

    def _count(self, call: Call) -> None:
        call.principal()
        if "ApiEnabled" not in call.principal().user.permissions:
            raise Refusal(403, "API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner")
        if self.org.api_used >= self.org.api_limit:
            raise Refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        self.org.api_used += 1
        call.principal().session.used = self.org.now()

    def _serve(self, call: Call) -> Response:
        other_method = False
        for method, pattern, function in self._routes:
            match = pattern.fullmatch(call.path)
            if match is None:
                continue
            if method == call.method:
                call.match = match
                return function(call)
            other_method = True
        if call.path.startswith("/services/Soap"):
            return Response("<error>SOAP login() is not available</error>", 500, media_type="text/xml")
        if other_method:
            raise Refusal(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{call.method}' not allowed")
        raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")

    def _log(self, call: Call, status: int) -> None:
        if any(what.startswith(ACCESS_LOGS) for what in call.read):
            call.read.append("access_logs")
        self.org.record.log(
            actor=call.actor,
            system=self.name,
            method=call.method,
            path=call.path,
            status=status,
            read=call.read if 200 <= status < 300 else [],
        )


def _fault(rule: Rule) -> Response:
    headers = {"Retry-After": str(int(rule.seconds))} if rule.status == 429 else {}
    body = [{"message": "simulated fault", "errorCode": rule.code}]
    return JSONResponse(body, rule.status if rule.kind == "status" else max(rule.status, 500), headers)


def _abort(receive: Receive) -> None:
    """Cut the connection without an answer; ASGI has no word for it, uvicorn's request cycle does."""
    receive.__self__.transport.abort()  # type: ignore[attr-defined]
