"""Thresholds of a model's evaluation: read with the place of every error, and silence never passes."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.systems.mlflow.thresholds import BadThresholds, Rule, check, load, parse

GOOD = """\
churn-scorer:
  release:
    accuracy: {min: 0.8, not_below_baseline_by: 0.02}
    parity.gap: {max: 0.1}
  regression:
    regression.trigger_rate: {max: 0}
"""


@pytest.mark.parametrize(
    ("metrics", "baseline", "failed", "missing"),
    [
        ({"accuracy": 0.85, "parity.gap": 0.1}, {"accuracy": 0.86}, (), ()),
        ({"accuracy": 0.79, "parity.gap": 0}, {"accuracy": 0.8}, ("accuracy is 0.79, at least 0.8 is needed",), ()),
        ({"accuracy": 0.9, "parity.gap": 0.2}, {"accuracy": 0.9}, ("parity.gap is 0.2, at most 0.1 is allowed",), ()),
        ({"accuracy": 0.9}, {"accuracy": 0.9}, (), ("parity.gap was not measured",)),
        ({}, {}, (), ("accuracy was not measured", "parity.gap was not measured")),
        ({"accuracy": math.nan, "parity.gap": 0}, {"accuracy": 1}, ("accuracy is not a number",), ()),
        ({"accuracy": math.inf, "parity.gap": 0}, {"accuracy": 1}, ("accuracy is not a number",), ()),
        (
            {"accuracy": 0.85, "parity.gap": 0},
            {"accuracy": 0.95},
            ("accuracy is 0.85, 0.1 below the baseline, 0.02 is allowed",),
            (),
        ),
        ({"accuracy": 0.85, "parity.gap": 0}, None, (), ("accuracy of the baseline was not measured",)),
        ({"accuracy": 0.85, "parity.gap": 0}, {}, (), ("accuracy of the baseline was not measured",)),
        (
            {"accuracy": 0.85, "parity.gap": 0},
            {"accuracy": math.nan},
            (),
            ("accuracy of the baseline was not measured",),
        ),
    ],
)
def test_a_suite(
    metrics: dict[str, float], baseline: dict[str, float] | None, failed: tuple[str], missing: tuple[str]
) -> None:
    found = check(parse(GOOD)["churn-scorer"]["release"], metrics, baseline)
    assert (found.failed, found.missing, found.checked) == (failed, missing, 2)
    assert found.ok is (not failed and not missing)


def test_a_model_that_passes_its_task_can_fail_the_regression_set() -> None:
    suites = parse(GOOD)["churn-scorer"]
    metrics = {"accuracy": 0.86, "parity.gap": 0.05, "regression.trigger_rate": 0.95}
    assert check(suites["release"], metrics, {"accuracy": 0.85}).ok
    assert check(suites["regression"], metrics, None).failed == (
        "regression.trigger_rate is 0.95, at most 0 is allowed",
    )
    assert not check({}, metrics, None).ok


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "t.yaml:1:1: The file is empty"),
        ("[]", "t.yaml:1:1: here must stand at least one model"),
        ("m: {}", "t.yaml:1:1: here must stand at least one suite"),
        ("m:\n  release: {}\n", "t.yaml:2:3: here must stand at least one metric"),
        ("m:\n  release:\n    a: {}\n", "t.yaml:3:5: here must stand at least one of min, max"),
        ("m:\n  release:\n    a: {mim: 1}\n", "t.yaml:3:9: mim is none of min, max"),
        ("m:\n  release:\n    a: {min: high}\n", "t.yaml:3:14: a number is needed"),
        ("m:\n  release:\n    a: {min: true}\n", "t.yaml:3:14: a number is needed"),
        ("m:\n  release:\n    a: {min: 2, max: 1}\n", "t.yaml:3:5: min is above max"),
        ("m:\n  release:\n    a: {not_below_baseline_by: -1}\n", "t.yaml:3:32: how far below"),
        ("m:\n  release:\n    a: {min: 1}\n    a: {min: 0}\n", "t.yaml:4:5: The key a stands here twice"),
        ("m: &x\n  r: *x\n", "t.yaml:1:"),
        ("m: 1: 2", "t.yaml:1:"),
    ],
)
def test_a_mistake_has_its_place(text: str, said: str) -> None:
    with pytest.raises(BadThresholds) as caught:
        parse(text, "t.yaml")
    assert str(caught.value).startswith(said)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    with pytest.raises(BadThresholds, match="cannot be read"):
        load(path)
    path.write_bytes(b"\xff")
    with pytest.raises(BadThresholds, match="not UTF-8"):
        load(path)
    path.write_bytes(b" " * 1_000_001)
    with pytest.raises(BadThresholds, match="over 1 MB"):
        load(path)
    path.write_text(GOOD)
    assert set(load(path)["churn-scorer"]) == {"release", "regression"}


number = st.floats(-10, 10, allow_nan=False)


@given(st.dictionaries(st.sampled_from("abc"), number), st.dictionaries(st.sampled_from("abc"), number))
def test_what_passes_keeps_every_rule_and_more_metrics_never_make_it_pass(
    metrics: dict[str, float], bounds: dict[str, float]
) -> None:
    rules = {name: Rule(least=bound) for name, bound in bounds.items()}
    found = check(rules, metrics, None)
    assert found.ok is (bool(rules) and all(name in metrics and metrics[name] >= rules[name].least for name in rules))  # type: ignore[operator]
    without = {name: value for name, value in metrics.items() if name not in rules}
    assert not check(rules, without, None).ok


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    said = ""
    try:
        parse(text)
    except BadThresholds as error:
        said = str(error)
    assert not said or said.startswith("thresholds.yaml:")
