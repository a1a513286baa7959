"""Clients of the gateway as they are: a certificate, a request, and what came of it."""

import http.client
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

REFUSALS = (401, 403, 429)
PATIENCE = 15.0
HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Asked:
    """What a caller got. ``status`` 0: the connection was refused, by TLS or before it."""

    status: int
    score: float | None = None
    version: str = ""
    digest: str = ""
    logprobs: bool = False

    @property
    def served(self) -> bool:
        """Whether it got an answer."""
        return self.status == 200 and self.score is not None

    @property
    def refused(self) -> bool:
        """Whether it was refused, for what it is."""
        return self.status in (0, *REFUSALS)


class Caller:
    """Somebody with a certificate, whose file holds chain and key."""

    def __init__(self, name: str, pem: Path, url: str, authority: Path, model: str) -> None:
        self.name, self.pem = name, pem
        self._place, self._authority = f"{url}/v2/models/{model}/infer", authority

    def ask(self, features: Any, *, logprobs: bool = False) -> Asked:
        """One inference over a connection of its own, as a new customer would make it."""
        try:
            with httpx.Client(verify=self._trust(), timeout=PATIENCE, trust_env=False) as client:
                answer = client.post(self._place, json=_body(features, logprobs=logprobs))
        except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError):
            return Asked(0)
        except httpx.HTTPError:
            return Asked(504)
        return _read(answer)

    def ask_many(self, rows: Sequence[Any]) -> list[Asked]:
        """Many inferences over one connection."""
        found = []
        there = urlsplit(self._place)
        # Not httpx: as many requests as this machine can answer are wanted, and most of its time would be the client's.
        link = http.client.HTTPSConnection(there.hostname or "", there.port, context=self._trust(), timeout=PATIENCE)
        try:
            for row in rows:
                try:
                    link.request("POST", there.path, json.dumps(_body(row, logprobs=False)), HEADERS)
                    answer = link.getresponse()
                    found.append(_read(httpx.Response(answer.status, content=answer.read())))
                except (OSError, http.client.HTTPException):
                    link.close()
                    found.append(Asked(504))
        finally:
            link.close()
        return found

    def _trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self._authority))
        context.load_cert_chain(self.pem)
        return context


def _body(features: Any, *, logprobs: bool) -> dict[str, Any]:
    inputs = [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": list(features)}]
    return {"inputs": inputs, "parameters": {"logprobs": logprobs}}


def _read(answer: httpx.Response) -> Asked:
    if answer.status_code != 200:
        return Asked(answer.status_code)
    try:
        found = answer.json()
        outputs = {row["name"]: row["data"] for row in found["outputs"]}
        score = float(outputs["score"][0])
    except (ValueError, KeyError, TypeError, IndexError):
        return Asked(502)
    parameters = found.get("parameters") or {}
    version, digest = str(found.get("model_version", "")), str(parameters.get("digest", ""))
    return Asked(200, score, version, digest, "logprobs" in outputs)
