"""Refusals over HTTP (RFC 9457, problem+json): what was not done, and what to do next."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from worker.desk.refusals import DeskRefusal

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
CODES = {400: "bad_value", 404: "not_found", 405: "wrong_method"}
"""Code of what the framework itself refuses, by status."""


def problem(
    status: int, code: str, detail: str, next_step: str = "", details: dict[str, Any] | None = None
) -> JSONResponse:
    """One problem document."""
    body: dict[str, Any] = {**(details or {}), "type": "about:blank", "status": status, "code": code}
    body["title"], body["detail"] = code.replace("_", " "), detail
    if next_step:
        body["next"] = next_step
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def install(app: FastAPI) -> None:
    """Make every failure of the app a problem document; bodies and values of requests stay out of it."""

    @app.exception_handler(DeskRefusal)
    async def refused(_request: Request, error: DeskRefusal) -> JSONResponse:
        return problem(error.status, error.code, error.message, error.next_step, error.details)

    @app.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> JSONResponse:
        where = [{"at": ".".join(str(part) for part in each["loc"]), "message": each["msg"]} for each in error.errors()]
        first = where[0] if where else {"at": "body", "message": "malformed"}
        return problem(
            422,
            "bad_value",
            f"The request is malformed at {first['at']}: {first['message']}. Nothing was done.",
            details={"problems": where},
        )

    @app.exception_handler(HTTPException)
    async def plain(_request: Request, error: HTTPException) -> JSONResponse:
        code = CODES.get(error.status_code, f"http_{error.status_code}")
        return problem(error.status_code, code, f"{error.detail}. Nothing was done.")

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, error: Exception) -> JSONResponse:
        log.exception("a request failed")
        return problem(
            500,
            "internal",
            f"Stanch failed here ({type(error).__name__}); whether the request had an effect is not known.",
            "Look with `stanch incident show`; the server's log has the details.",
        )
