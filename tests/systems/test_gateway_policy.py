"""The simulated policy engine decides and answers as OPA does with the reference policy; so do the two cutters."""

import itertools
import json

import httpx
import pytest
from starlette.responses import Response

from activities.systems.gateway.models import STRIPPED
from activities.systems.gateway.peer.policy import OpaPeer
from activities.systems.gateway.peer.server import _stripped
from tests.systems.gateway_site import KEY, TOKEN, sha256


def own(gateway) -> OpaPeer:
    """A simulated engine with the same data."""
    return OpaPeer(json.loads((gateway.maps / "data.json").read_text()))


def cut(gateway) -> None:
    """The harvester gets no log probabilities from now on."""
    gateway.own_client.keep(STRIPPED, {gateway.fingerprint("harvester"): "logprobs"})
    gateway.own_client.set_live(STRIPPED, gateway.fingerprint("harvester"), "logprobs", {})


def test_every_mix_of_certificate_key_and_path_is_decided_alike(gateway):
    names = ("", "crm-sync", "harvester", "stranger")
    keys = ("", sha256(KEY), sha256("other"))
    paths = ("/v2/models/churn-scorer/infer", "/v1/admin", "/v2/../v1", "/v2/%2e%2e/", "/v2//x")
    peer, allowed = own(gateway), 0
    policy = gateway.client(opa=gateway.opa_itself).policy
    for certificate, name, key, path in itertools.product(("", "a" * 64), names, keys, paths):
        asked = {"certificate": certificate, "name": name, "key": key, "method": "POST", "path": path}
        said = policy.decide("stanch/gateway/decision", asked)
        assert said == peer.decision(asked), asked
        allowed += said["allow"]
    assert allowed == 7, "a client by its certificate with no key or its own, or by its key alone; plain paths only"


def test_admission_is_decided_alike(gateway):
    peer = own(gateway)
    denied = "b" * 64
    gateway.own_client.policy.put(f"stanch/denied_digests/{denied}", "INC-1")
    peer.data["stanch"]["denied_digests"][denied] = "INC-1"
    for digest in ("a" * 64, denied, f"sha256:{denied}", f"sha256:sha256:{'a' * 64}", denied.upper(), "", "a" * 63):
        said = gateway.own_client.policy.decide("stanch/admission", {"digest": digest})
        assert said == peer.admission({"digest": digest}), digest
    gateway.own_client.policy.drop(f"stanch/denied_digests/{denied}")


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_its_token_only_decisions_are_given(gateway, token):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=gateway.opa_url, headers=headers, trust_env=False) as http:
        for method, path in (
            ("GET", "/v1/data"),
            ("GET", "/v1/data/stanch/clients"),
            ("PUT", "/v1/data/stanch/clients/thief"),
            ("PATCH", "/v1/data/stanch/clients"),
            ("DELETE", "/v1/data/stanch/denied_digests"),
            ("POST", "/v1/data/stanch/clients"),
        ):
            assert http.request(method, path, json={"paths": ["/"], "keys": []}).status_code == 401, (method, path)
        asked = http.post("/v1/data/stanch/admission", json={"input": {"digest": "a" * 64}})
        assert asked.json()["result"] == {"allow": True}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert "crm-sync" in http.get("/v1/data/stanch/clients", headers=headers).json()["result"]


HARD = [
    '{"a": [1, -2.50e+3, 1e400, true, null, "\\ud83d\\ude00", "\\\\\\"logprobs\\\\"]}',
    '{"logprobs": {"deep": [1]}, "LOGPROBS": 1, "x": {"top-log.probs": 2, "keep": []}}',
    '[{"name": "logprobs"}, {"name": "score"}, {"name": 5}, {"name": {"logprobs": 1}}, [], {}, "logprobs"]',
    '{"name": "logprobs", "kept": "an object that is no item of a list"}',
    '{"outputs": [{"name": "log\\u0070robs"}, {"na\\u006de": "logprobs"}]}',
    '  {"":""}  ',
    '"logprobs"',
    "[" * 60 + "]" * 60,
]


@pytest.mark.parametrize("text", HARD)
def test_hard_json_is_cut_alike(gateway, text):
    cut(gateway)
    for model in gateway.models:
        model.answer = Response(text.encode(), media_type="application/json")
    status, answer = gateway.ask("harvester")
    assert status == 200
    assert answer == _stripped(json.loads(text), ["logprob"])


@pytest.mark.parametrize(
    "text", ["{'a': 1}", "[1,]", '{"a" 1}', '{"a": tru}', '["a', "[" * 200 + "]" * 200, '{"a": 1}}', "\x00{}", "01x"]
)
def test_what_is_no_json_is_refused_by_the_real_one_too(gateway, text):
    cut(gateway)
    for model in gateway.models:
        model.answer = Response(text.encode(), media_type="application/json")
    status, _ = gateway.ask("harvester")
    assert status == 502 or (not gateway.real and text.startswith("[["))
