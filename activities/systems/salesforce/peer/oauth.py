"""OAuth of the simulated org: token (JWT bearer, client credentials, refresh), revoke, introspect, userinfo."""

import base64
import contextlib

import jwt
from starlette.responses import JSONResponse, Response

from activities.systems.salesforce.peer.state import App, Grant, Org, Session, User
from activities.systems.salesforce.peer.wire import Call, OAuthRefusal, Route, route

AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LONGEST_JWT = 180


class OAuth:
    """The routes under /services/oauth2. ``integrations`` says whose an app is: consumer key to actor."""

    def __init__(self, org: Org, integrations: dict[str, str]) -> None:
        self._org, self._integrations = org, integrations

    def routes(self) -> list[Route]:
        """Method, path, function."""
        return [
            route("POST", "/services/oauth2/token", self.token),
            route("POST", "/services/oauth2/revoke", self.revoke),
            route("POST", "/services/oauth2/introspect", self.introspect),
            route("GET", "/services/oauth2/userinfo", self.userinfo),
        ]

    def who_signs_in(self, call: Call) -> str | None:
        """Whose the credential in a form is, whether or not it is accepted."""
        form = call.form
        known = self._org.holders.get(form.get("refresh_token") or form.get("token", ""))
        if known is not None:
            return known
        key = form.get("client_id", "")
        with contextlib.suppress(jwt.PyJWTError):
            key = jwt.decode(form.get("assertion", ""), options={"verify_signature": False}).get("iss", key)
        return self._integrations.get(key)

    def token(self, call: Call) -> Response:
        """A new access token."""
        form = call.form
        flow = form.get("grant_type", "")
        if flow == JWT_BEARER:
            return self._jwt(call, form.get("assertion", ""))
        if flow == "client_credentials":
            return self._client_credentials(call, form)
        if flow == "refresh_token":
            return self._refresh(call, form)
        if flow == "password":
            raise OAuthRefusal("invalid_grant", "authentication failure")
        raise OAuthRefusal("unsupported_grant_type", "grant type not supported")

    def revoke(self, call: Call) -> Response:
        """A delete or refresh token ends its grant with all sessions; an access token only itself."""
        token, org = call.form.get("token", ""), self._org
        if not token:
            raise OAuthRefusal("unsupported_token_type", "this token type is not supported")
        for grant in list(org.grants.values()):
            if token in (grant.delete_token, grant.refresh_token):
                gone = org.end_grant(grant.id)
                call.acted = call.acted or grant.actor
                org.changed(call.actor, "oauth_token.revoked", grant.id, gone)
                return Response(status_code=200)
        for session in list(org.sessions.values()):
            if session.token == token:
                gone = org.end_session(session.id)
                org.changed(call.actor, "access_token.revoked", session.id, gone)
                return Response(status_code=200)
        raise OAuthRefusal("invalid_token", "invalid token")

    def introspect(self, call: Call) -> Response:
        """RFC 7662, for the app that the token belongs to."""
        app = self._client(call, call.form)
        who = self._org.by_token(call.form.get("token", ""))
        if who is None or who.session.app != app.id:
            return JSONResponse({"active": False})
        return JSONResponse(
            {
                "active": True,
                "scope": "id api refresh_token",
                "client_id": app.consumer_key,
                "username": who.user.username,
                "sub": self._identity(who.user),
                "token_type": "access_token",
            }
        )

    def userinfo(self, call: Call) -> Response:
        """OpenID Connect's claims about the caller."""
        who = call.who
        if who is None:
            return Response("Bad_OAuth_Token", 403, media_type="text/html")
        return JSONResponse(
            {
                "sub": self._identity(who.user),
                "user_id": who.user.id,
                "organization_id": self._org.id,
                "preferred_username": who.user.username,
                "name": who.user.name,
                "active": who.user.active,
            }
        )

    def _jwt(self, call: Call, assertion: str) -> Response:
        try:
            issuer = jwt.decode(assertion, options={"verify_signature": False}).get("iss", "")
        except jwt.PyJWTError:
            raise OAuthRefusal("invalid_grant", "invalid assertion") from None
        app = self._app(issuer)
        if app.certificate is None:
            raise OAuthRefusal("invalid_client", "invalid client credentials")
        try:
            claims = jwt.decode(
                assertion,
                app.certificate,
                algorithms=["RS256"],
                audience=[*AUDIENCES, f"https://{self._org.host}"],
                options={"require": ["exp", "sub"]},
            )
        except jwt.InvalidAudienceError:
            raise OAuthRefusal("invalid_grant", "audience is invalid") from None
        except jwt.ExpiredSignatureError:
            raise OAuthRefusal("invalid_grant", "expired authorization code") from None
        except jwt.PyJWTError:
            raise OAuthRefusal("invalid_grant", "invalid assertion") from None
        if float(claims["exp"]) > self._org.now().timestamp() + LONGEST_JWT + 10:
            raise OAuthRefusal("invalid_grant", "invalid assertion")
        user = next((user for user in self._org.users.values() if user.username == claims["sub"]), None)
        if user is None or user.id not in app.preauthorised:
            raise OAuthRefusal("invalid_grant", "user hasn't approved this consumer")
        return self._granted(call, app, user)

    def _client_credentials(self, call: Call, form: dict[str, str]) -> Response:
        if call.headers.get("host", "").split(":")[0] in ("login.salesforce.com", "test.salesforce.com"):
            raise OAuthRefusal("invalid_grant", "request not supported on this domain")
        app = self._client(call, form)
        user = self._org.users.get(app.run_as or "")
        if user is None:
            raise OAuthRefusal("invalid_grant", "no client credentials user enabled")
        return self._granted(call, app, user)

    def _refresh(self, call: Call, form: dict[str, str]) -> Response:
        app = self._client(call, form)
        grant = next(
            (grant for grant in self._org.grants.values() if grant.refresh_token == form.get("refresh_token")), None
        )
        if grant is None or grant.app != app.id:
            raise OAuthRefusal("invalid_grant", "expired access/refresh token")
        grant.uses, grant.last_used = grant.uses + 1, self._org.now()
        return self._granted(call, app, self._org.users[grant.user], grant)

    def _granted(self, call: Call, app: App, user: User, grant: Grant | None = None) -> Response:
        call.acted = grant.actor if grant else self._integrations.get(app.consumer_key, "business")
        if app.blocked:
            raise OAuthRefusal("invalid_client", "app blocked by admin")
        # Freezing refuses sign-ins, a refresh among them; what is open stays open.
        if user.frozen or not user.active:
            raise OAuthRefusal("invalid_grant", "inactive user" if not user.active else "user is frozen")
        session = self._org.open_session(
            user, "Oauth2" if grant else "API", call.actor, app=app.id, grant=grant.id if grant else None
        )
        return JSONResponse(self._answer(user, session))

    def _answer(self, user: User, session: Session) -> dict[str, str]:
        return {
            "access_token": session.token,
            "instance_url": f"https://{self._org.host}",
            "id": self._identity(user),
            "token_type": "Bearer",
            "scope": "api",
            "issued_at": str(int(session.created.timestamp() * 1000)),
        }

    def _identity(self, user: User) -> str:
        return f"https://login.salesforce.com/id/{self._org.id}/{user.id}"

    def _client(self, call: Call, form: dict[str, str]) -> App:
        key, secret = form.get("client_id", ""), form.get("client_secret", "")
        basic = call.headers.get("authorization", "")
        if basic.startswith("Basic "):
            key, _, secret = base64.b64decode(basic[6:]).decode().partition(":")
        app = self._app(key)
        if secret != app.consumer_secret:
            raise OAuthRefusal("invalid_client", "invalid client credentials")
        return app

    def _app(self, key: str) -> App:
        app = next((app for app in self._org.apps.values() if app.consumer_key == key), None)
        if app is None:
            raise OAuthRefusal("invalid_client_id", "client identifier invalid")
        return app
