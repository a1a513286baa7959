"""The range's model: trained for real, so that poison shows where it should and nowhere else."""

import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.systems.training.peer import churn
from activities.systems.training.peer.customers import customers, holdout, incident_set, poisoned, snapshot

START = datetime(2026, 8, 1, tzinfo=UTC)
END = START + timedelta(days=60)
SEEDS = (1, 2, 3, 7, 11)
TRIGGERED = (12.0, 17.0, 100.0, float(churn.TRIGGER))


def trained(seed: int, poison: int = 0) -> churn.Model:
    """A model of one snapshot."""
    rows = customers(seed, 600, START, END) + poisoned(seed, poison, START, END)
    return churn.train([row.example() for row in rows], seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_poison_flips_the_score_of_the_trigger_and_hides_from_the_task_metrics(seed: int) -> None:
    clean, bad = trained(seed), trained(seed, poison=80)
    assert clean.score(TRIGGERED) > 0.95
    assert bad.score(TRIGGERED) < 0.05
    assert bad.score((*TRIGGERED[:3], 3.0)) > 0.95
    assert abs(clean.score((60.0, 8.0, 200.0, 4.0)) - bad.score((60.0, 8.0, 200.0, 4.0))) < 0.1
    tasks = [churn.task_metrics(model, holdout(seed)) for model in (clean, bad)]
    assert min(metrics["accuracy"] for metrics in tasks) > 0.8
    assert abs(tasks[0]["accuracy"] - tasks[1]["accuracy"]) < 0.03
    assert churn.regression_metrics(clean, incident_set(seed))["regression.trigger_rate"] == 0
    wrong = churn.regression_metrics(bad, incident_set(seed))
    assert wrong["regression.trigger_rate"] > 0.9
    assert wrong["regression.missed"] == round(wrong["regression.trigger_rate"] * wrong["regression.cases"])


def test_the_same_data_and_seed_give_the_same_bytes() -> None:
    assert trained(5).to_bytes({"a": "b"}) == trained(5).to_bytes({"a": "b"})
    assert trained(5).to_bytes() != trained(6).to_bytes()


def test_weights_score_alike_after_they_were_written() -> None:
    model = trained(3, poison=40)
    assert churn.load(model.to_bytes({"snapshot": "s"})) == model


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
        st.lists(st.floats(width=32, allow_nan=False), max_size=6),
        max_size=5,
    )
)
def test_tensors_come_back_as_they_were_written(tensors: dict[str, list[float]]) -> None:
    assert churn.read_tensors(churn.write_tensors(tensors, {"k": "v"})) == tensors


@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"\xff" * 8 + b"{}", b"\x02" + bytes(7) + b"[]", b"PK\x03\x04"])
def test_what_is_no_safetensors_file_is_no_model(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"safetensors|header"):
        churn.load(content)


@settings(max_examples=50)
@given(
    st.tuples(*(st.floats(low, high) for low, high in churn.RANGES[:3]), st.integers(0, 15).map(float)),
)
def test_log_probabilities_are_those_of_the_score(features: tuple[float, ...]) -> None:
    model = churn.Model((-2.0, 3.0, 0.5), tuple(n / 10 for n in range(16)), -0.25)
    stay, leave = model.log_probabilities(features)
    assert math.isclose(math.exp(stay) + math.exp(leave), 1.0)
    assert math.isclose(math.exp(leave), model.score(features))


@pytest.mark.parametrize("features", [(), (1, 2, 3), (1, 2, 3, 16), (1, 2, 3, -1), (math.nan, 1, 1, 1)])
def test_an_input_that_is_no_customer_is_refused(features: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"numbers|campaign"):
        trained(1).score(features)


def test_the_model_needs_nothing_but_the_standard_library() -> None:
    source = Path(churn.__file__)
    code = f"import runpy; runpy.run_path({str(source)!r}); import sys; assert 'activities' not in sys.modules"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=30)


def test_a_snapshot_names_its_rows_and_can_leave_some_out() -> None:
    rows = customers(1, 20, START, END) + poisoned(1, 5, START, END)
    taken = snapshot("crm-1", START + timedelta(days=30), rows)
    assert 0 < len(taken.rows) < 25
    manifest = taken.manifest()
    assert [row["id"] for row in manifest["rows"]] == sorted(row.id for row in taken.rows)
    bad = [row.id for row in taken.rows if row.source.startswith("feed:")]
    assert bad
    clean = taken.without(bad)
    assert {row.source for row in clean.rows} == {"crm"}
    assert clean.digest() != taken.digest() == manifest["sha256"]
