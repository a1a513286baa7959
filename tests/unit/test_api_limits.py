import httpx
from fastapi import FastAPI, Request

from worker.api.limits import ALERT_LIMIT, JSON_LIMIT, BodyLimit
from worker.api.problems import MEDIA_TYPE, install
from worker.desk.refusals import DeskRefusal


def app():
    made = FastAPI()
    install(made)
    made.add_middleware(BodyLimit)

    @made.post("/v1/{rest:path}")
    async def length(request: Request, rest: str):
        if rest == "refused":
            raise DeskRefusal("held", "A hold is on. Nothing was done.", details={"by": "ana"})
        if rest == "broken":
            raise RuntimeError("secret text")
        return {"length": len(await request.body())}

    return made


def client():
    transport = httpx.ASGITransport(app=app(), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://stanch")


async def test_bodies_within_the_limit_pass():
    async with client() as http:
        answer = await http.post("/v1/incidents", content=b"x" * JSON_LIMIT)
        assert answer.json() == {"length": JSON_LIMIT}
        answer = await http.post("/v1/alerts/panther", content=b"x" * (JSON_LIMIT + 1))
        assert answer.json() == {"length": JSON_LIMIT + 1}


async def test_a_declared_length_over_the_limit_is_refused():
    async with client() as http:
        answer = await http.post("/v1/incidents", content=b"x" * (JSON_LIMIT + 1))
        assert answer.status_code == 413
        assert answer.json()["code"] == "too_large"


async def test_a_body_that_hides_its_length_is_cut_off():
    async def endless():
        for _ in range(ALERT_LIMIT // 65536 + 2):
            yield b"x" * 65536

    async with client() as http:
        answer = await http.post("/v1/alerts/panther", content=endless())
        assert answer.status_code == 413


async def test_refusals_are_problem_documents():
    async with client() as http:
        answer = await http.post("/v1/refused")
        assert answer.status_code == 423
        assert answer.headers["content-type"] == MEDIA_TYPE
        assert answer.json()["code"] == "held"
        assert answer.json()["by"] == "ana"
        assert answer.json()["detail"] == "A hold is on. Nothing was done."


async def test_an_unexpected_failure_says_nothing_of_its_inside():
    async with client() as http:
        answer = await http.post("/v1/broken")
        assert answer.status_code == 500
        assert answer.json()["code"] == "internal"
        assert "secret text" not in answer.text


async def test_unknown_paths_and_methods_are_problems_too():
    async with client() as http:
        assert (await http.get("/nowhere")).json()["code"] == "not_found"
        assert (await http.get("/v1/incidents")).json()["code"] == "wrong_method"
