"""The front with faults misbehaves as told, before an application and before a server alike."""

import time
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.systems.faulty import Faulty
from worker.range_server import LoopbackServer


class Counter:
    """Counts what is carried out."""

    def __init__(self) -> None:
        self.done = 0

    async def serve(self, request: Request) -> Response:
        self.done += 1
        return JSONResponse({"body": (await request.body()).decode(), "query": request.url.query})


@pytest.fixture(params=["application", "server"])
def front(request: pytest.FixtureRequest) -> Iterator[tuple[Faulty, str, Counter]]:
    counter = Counter()
    app = Starlette(routes=[Route("/{path:path}", counter.serve, methods=["GET", "POST"])])
    behind = LoopbackServer(app)
    faulty = Faulty(app if request.param == "application" else behind.open())
    server = LoopbackServer(faulty)
    yield faulty, server.open(), counter
    server.close()
    behind.close()


def test_requests_pass_and_are_kept(front: tuple[Faulty, str, Counter]) -> None:
    faulty, url, _ = front
    answer = httpx.post(f"{url}/a/b?c=d%20e", content=b"hello")
    assert answer.json() == {"body": "hello", "query": "c=d%20e"}
    assert faulty.requests == [("POST", "/a/b?c=d%20e")]
    assert (faulty.asked("/a", "POST"), faulty.asked("/a", "GET")) == (1, 0)


def test_a_status_stands_in_for_the_answer_once(front: tuple[Faulty, str, Counter]) -> None:
    faulty, url, counter = front
    faulty.add("status", path="/a", status=429, headers={"retry-after": "3"}, skip=1)
    answers = [httpx.get(f"{url}/a") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 429, 200]
    assert answers[1].headers["retry-after"] == "3" and counter.done == 2


@pytest.mark.parametrize(("kind", "done"), [("drop_before", 0), ("drop_after", 1)])
def test_a_dropped_answer(front: tuple[Faulty, str, Counter], kind: str, done: int) -> None:
    faulty, url, counter = front
    faulty.add(kind, method="POST")
    with pytest.raises(httpx.TransportError):
        httpx.post(f"{url}/a")
    assert counter.done == done
    assert httpx.post(f"{url}/a").status_code == 200


def test_delays_bodies_and_acts(front: tuple[Faulty, str, Counter]) -> None:
    faulty, url, counter = front
    seen: list[tuple[str, int]] = []
    faulty.add("delay", path="slow", seconds=0.1)
    faulty.add("body", path="odd", body=b"<html>")
    faulty.add("act_before", path="acted", act=lambda: seen.append(("before", counter.done)))
    faulty.add("act_after", path="acted", act=lambda: seen.append(("after", counter.done)))
    began = time.monotonic()
    httpx.get(f"{url}/slow")
    assert time.monotonic() - began >= 0.1
    assert httpx.get(f"{url}/odd").content == b"<html>"
    assert httpx.get(f"{url}/acted").status_code == 200
    assert seen == [("before", 2), ("after", 3)]
