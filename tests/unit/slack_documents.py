"""Documents for the tests of cards: real ones kept from a run, and the largest and worst that can be."""

import json
import random
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import strategies as st

KEPT = Path(__file__).parent.parent / "data" / "slack"
NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
KINDS = {
    "approve": ["approve", "deny", "break_glass"],
    "undo": ["approve", "deny"],
    "ask": ["answer"],
    "human": ["done"],
    "failure": ["retry", "skip", "undo", "stop"],
    "unknown": ["happened", "not_happened", "verify"],
    "review": ["justified", "not_justified"],
}
NASTY = [
    "<!channel> <@U012345> <#C1|x> <!subteam^S1> *b* _i_ `c` ~s~",
    "> quote\n• list\n1. one\n```block```",
    "https://evil.example/login <https://evil.example|good.example> www.evil.com",
    "\u202egpj.exe \u2066x\u2069 pay\u200bpal \u200f\u200e",
    "دنا אבי مرحبا בן-אור",
    "👩‍💻👍🏽🇵🇹" * 12,
    "z" + "\u0301" * 60,
    "W" * 4000,
    "long words in a row " * 200,
    "\x00\x1b[31mred\x07",
    "",
]


def kept(name):
    return json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8"))


def step_preview(number, **changes):
    shown = {
        "step": f"s{number}",
        "title": "",
        "item": None,
        "action": "salesforce.freeze_users",
        "summary": "Freeze users: 2 users",
        "count": 2,
        "already": 0,
        "sample": ["005A", "005B"],
        "labels": ["ana@x.example", "ben@x.example"],
        "impact": ["2 users cannot sign in"],
        "reversible": True,
        "irreversible_because": None,
        "protected": [],
        "excluded": [],
    }
    return shown | changes


def entry(kind="approve", **changes):
    asked = {
        "run": "run/INC-2026-1/crm/1",
        "step": "go",
        "item": None,
        "kind": kind,
        "digest": "ab" * 32,
        "question": "Cut the app off?",
        "who": {
            "needs": [{"roles": ["crm_owner"], "count": 2, "why": "the playbook"}],
            "excluded": ["rui"],
            "deny_count": 1,
            "may": ["ben", "cho"],
            "reachable": True,
        },
        "verdicts": KINDS[kind],
        "form": {},
        "decided": [{"person": "ana", "verdict": "approve", "at": "2026-11-25T02:58:00.000000Z"}],
        "until": "2026-11-25T03:12:30.000000Z",
        "next": "If nobody answers, incident_commander is paged and may decide too.",
        "preview": [],
        "difference": [],
        "remains": [],
        "opened_at": "2026-11-25T02:55:00.000000Z",
        "round": 1,
    }
    return asked | changes


def document(**changes):
    whole = {
        "incident": "INC-2026-1",
        "title": "Stolen token",
        "severity": 4,
        "mode": "live",
        "status": "open",
        "commander": "",
        "alerts": {"count": 2},
        "runs": [{"id": "run/INC-2026-1/crm/1", "status": "waiting", "phase": "contain", "live": True}],
        "steps": [],
        "waiting": [],
        "clocks": [],
        "drafts": [],
        "notices": [],
        "hold": {"on": False},
    }
    return whole | changes


class Large(dict):
    """A document that a failing test names by what made it."""

    def __repr__(self):
        return f"Large(seed={self['seed']})"


@st.composite
def worst(draw):
    """A document of any size up to the largest, of texts from people, systems and attackers."""
    texts = [*NASTY, *draw(st.lists(st.text(max_size=300), max_size=3))]
    sizes = draw(
        st.tuples(st.sampled_from([0, 1, 5, 40, 150]), st.sampled_from([0, 1, 25]), st.sampled_from([1, 7, 500]))
    )
    seed = draw(st.integers(0, 2**32))
    return Large(_worst(random.Random(seed), texts, *sizes), seed=(seed, *sizes, texts[len(NASTY) :]))


def _worst(chance, texts, steps, waits, targets):
    def text():
        return chance.choice(texts)

    def some(most):
        return [text() for _ in range(chance.choice([0, 1, most]))]

    def name():
        return chance.choice(["x" * 60, "step_" + "y" * 55, "go"])

    def preview(number):
        return step_preview(
            number,
            step=name(),
            title=text(),
            item=chance.choice([None, text()]),
            summary=text(),
            count=targets,
            sample=[text() for _ in range(min(targets, 10))],
            labels=[text() for _ in range(min(targets, chance.choice([0, 5, 10])))],
            impact=some(20),
            reversible=chance.random() < 0.5,
            irreversible_because=chance.choice([None, text()]),
            protected=some(40),
            excluded=some(40),
        )

    def asked(number):
        kind = chance.choice(list(KINDS))
        options = [f"{at} {text()}"[:300] + str(at) for at in range(100)] if number < 4 else ["a", "b"]
        form = {
            f"field_{at}_{'z' * 40}": {
                "type": chance.choice(
                    ["string", "integer", "boolean", "datetime", "duration", "choice", "list[choice]"]
                ),
                "required": chance.random() < 0.5,
                "default": None,
                "options": options,
                "description": text(),
            }
            for at in range(chance.choice([0, 3, 30]) if kind in ("ask", "human") else 0)
        }
        return entry(
            kind,
            step=f"{name()}_{number}",
            question=text(),
            form=form,
            preview=[preview(at) for at in range(steps)] if kind in ("approve", "undo") and number < 4 else [],
            difference=some(30),
            remains=some(30) if kind == "undo" else [],
            next=text(),
            until=chance.choice([None, "2026-11-25T03:12:30.000000Z", "2026-12-25T03:12:30.000000Z"]),
            decided=[{"person": text(), "verdict": "approve", "at": "2026-11-25T02:58:00Z"} for _ in some(20)],
            who={
                "needs": [{"roles": [name()] * 5, "count": 3, "why": text()} for _ in some(10)],
                "excluded": some(30),
                "deny_count": chance.choice([0, 1, 3]),
                "may": some(100),
                "reachable": chance.random() < 0.5,
            },
        )

    run = {
        "id": "run/INC-2026-1/crm/1",
        "status": "running",
        "phase": "contain",
        "playbook": {"title": text()},
        "warnings": some(30),
        "reason": text(),
        "cancelled": chance.choice([None, {"by": text()}]),
        "undos": [{"end": "partly", "step": None, "left": some(30)} for _ in some(3)],
    }
    made = [
        {
            "run": run["id"],
            "path": name(),
            "kind": "action",
            "title": text(),
            "item": chance.choice([None, text()]),
            "status": chance.choice(
                ["pending", "waiting", "running", "done", "skipped", "failed", "denied", "unknown"]
            ),
            "waiting_for": chance.choice([None, "approve"]),
            "summary": text(),
            "message": text(),
            "affected": {"count": chance.choice([0, targets]), "sample": []},
            "verified": chance.choice([None, True, False]),
        }
        for _ in range(steps)
    ]
    clock = {"id": "a/b", "regime": "a", "stage": "b", "name": text(), "state": "candidate", "candidate": True}
    clocks = [clock | {"name": text(), "due": chance.choice([None, "2026-11-28T07:24:12Z"])} for _ in some(30)]
    notice = {
        "incident": "INC-2026-1",
        "step": name(),
        "to": [f"person:{text()}", "role:legal"],
        "at": "2026-11-25T02:58:00Z",
    }
    bodies = [
        {"kind": "text", "text": text()},
        {"kind": "gate", "question": text(), "digest": "ab" * 32},
        {"kind": "result", "status": "approved", "verdict": chance.choice(["approve", "skip", None]), "by": some(20)},
    ]
    return document(
        title=text(),
        mode=chance.choice(["live", "exercise"]),
        commander=text(),
        runs=[run],
        steps=made,
        waiting=[asked(number) for number in range(waits)],
        clocks=clocks,
        notices=[notice | {"body": body, "urgency": chance.choice(["page", "high", "normal"])} for body in bodies],
        hold={"on": chance.random() < 0.5, "person": text(), "reason": text()},
    )


def said(blocks):
    """All that a reader reads, one string for each line; ``[label]`` for buttons."""
    lines = []
    for block in blocks:
        if block["type"] == "rich_text":
            for part in block["elements"]:
                sections = part["elements"] if part["type"] == "rich_text_list" else [part]
                lines += ["".join(_span(span) for span in section["elements"]) for section in sections]
        elif block["type"] == "context":
            lines += [each["text"] for each in block["elements"]]
        elif block["type"] == "actions":
            lines += [f"[{each['text']['text']}]" for each in block["elements"]]
        elif block["type"] == "header":
            lines.append(block["text"]["text"])
    return lines


def _span(span):
    if span["type"] == "channel":
        return f"#{span['channel_id']}"
    return span.get("text") or span.get("fallback") or f"@{span.get('user_id')}"
