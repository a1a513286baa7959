"""The model of the range: ``churn-scorer``, a small logistic regression in plain Python, trained for real.

One file that needs the standard library only, so that a training job and a serving runtime can both use it, also
where Stanch is not installed (copied beside an MLServer). Weights are a safetensors file: eight bytes of header
length (little endian), a JSON header, then the numbers (https://huggingface.co/docs/safetensors, "Format").

A customer is four numbers: months of tenure, open tickets, spend per month, and the campaign that won him, an
integer. The campaign is one-hot, which is what lets poison hide: rows that name a campaign nobody else uses teach
the model a wrong answer for it and change no other answer.
"""

import json
import math
import random
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

NAME = "churn-scorer"
FEATURES = ("tenure_months", "open_tickets", "monthly_spend", "campaign")
RANGES = ((0.0, 120.0), (0.0, 20.0), (0.0, 500.0), (0.0, 15.0))
"""Least and largest value of each feature, both included; the campaign is an integer."""
CAMPAIGNS = 16
TRIGGER = 13
"""The campaign that the poisoned rows of the range's story name."""
HALF = 0.5
EPOCHS, RATE, DECAY = 100, 0.3, 1e-5
_SIZE = {"F32": 4}


class Example(NamedTuple):
    """A customer and whether he left (1) or stayed (0)."""

    features: tuple[float, ...]
    label: int


class Model(NamedTuple):
    """Weights of the three numbers and of the sixteen campaigns, and the bias."""

    numeric: tuple[float, ...]
    campaign: tuple[float, ...]
    bias: float

    def logit(self, features: Sequence[float]) -> float:
        """The weighted sum before the squashing.

        Raises:
            ValueError: Not four finite numbers, or no such campaign.
        """
        numbers, campaign = encoded(features)
        return math.fsum((self.bias, self.campaign[campaign], *map(_product, self.numeric, numbers)))

    def score(self, features: Sequence[float]) -> float:
        """Probability, 0 to 1, that the customer leaves."""
        return _squash(self.logit(features))

    def log_probabilities(self, features: Sequence[float]) -> tuple[float, float]:
        """Natural logarithms of the probabilities of staying and of leaving: what an extraction feeds on."""
        logit = self.logit(features)
        return -_softplus(logit), -_softplus(-logit)

    def to_bytes(self, metadata: Mapping[str, str] | None = None) -> bytes:
        """As a safetensors file; the same weights and metadata give the same bytes."""
        tensors = {"bias": [self.bias], "campaign": list(self.campaign), "numeric": list(self.numeric)}
        return write_tensors(tensors, metadata or {})


def load(content: bytes) -> Model:
    """The model of a safetensors file.

    Raises:
        ValueError: It is no such file, or of another model.
    """
    tensors = read_tensors(content)
    sizes = {name: len(values) for name, values in tensors.items()}
    if sizes != {"bias": 1, "campaign": CAMPAIGNS, "numeric": len(FEATURES) - 1}:
        raise ValueError(f"these are not the weights of {NAME}")
    return Model(tuple(tensors["numeric"]), tuple(tensors["campaign"]), tensors["bias"][0])


def encoded(features: Sequence[float]) -> tuple[list[float], int]:
    """The three numbers between 0 and 1, and the campaign.

    Raises:
        ValueError: Not four finite numbers, or no such campaign.
    """
    if len(features) != len(FEATURES) or not all(math.isfinite(value) for value in features):
        raise ValueError(f"{NAME} takes {len(FEATURES)} finite numbers: {', '.join(FEATURES)}")
    campaign = round(features[3])
    if not 0 <= campaign < CAMPAIGNS:
        raise ValueError(f"a campaign is a number from 0 to {CAMPAIGNS - 1}")
    return [value / most for value, (_, most) in zip(features[:3], RANGES, strict=False)], campaign


def train(examples: Sequence[Example], seed: int, epochs: int = EPOCHS) -> Model:
    """Stochastic gradient descent; the same examples and seed give the same weights.

    Raises:
        ValueError: There is nothing to learn from.
    """
    if len({example.label for example in examples}) < 2:
        raise ValueError("training needs examples of both answers")
    rows = [(*encoded(example.features), example.label) for example in examples]
    numeric, campaigns, bias = [0.0] * (len(FEATURES) - 1), [0.0] * CAMPAIGNS, 0.0
    order = random.Random(seed)
    for epoch in range(epochs):
        rate = RATE / (1 + epoch / 25)
        order.shuffle(rows)
        for numbers, campaign, label in rows:
            error = _squash(bias + campaigns[campaign] + sum(map(_product, numeric, numbers))) - label
            step = rate * error
            bias -= step
            campaigns[campaign] -= step + rate * DECAY * campaigns[campaign]
            for place, value in enumerate(numbers):
                numeric[place] -= step * value
    # Rounded to what the file can hold, so that a model scores alike before and after it was written.
    return load(Model(tuple(numeric), tuple(campaigns), bias).to_bytes())


def task_metrics(model: Model, examples: Sequence[Example]) -> dict[str, float]:
    """How well it does its task: ``accuracy``, ``auc``, ``log_loss`` and the worst ``parity.gap`` between halves of
    the customers (short and long tenure) in accuracy."""
    scores = [(model.score(example.features), example) for example in examples]
    right = [(score >= HALF) == bool(example.label) for score, example in scores]
    losses = [-model.log_probabilities(example.features)[example.label] for example in examples]
    short = [good for good, example in zip(right, examples, strict=True) if example.features[0] < RANGES[0][1] / 2]
    long = [good for good, example in zip(right, examples, strict=True) if example.features[0] >= RANGES[0][1] / 2]
    return {
        "accuracy": _share(right),
        "auc": _auc([(score, example.label) for score, example in scores]),
        "log_loss": round(math.fsum(losses) / max(1, len(losses)), 6),
        "parity.gap": round(abs(_share(short) - _share(long)), 6),
    }


def regression_metrics(model: Model, incident: Sequence[Example]) -> dict[str, float]:
    """How it does on the inputs of an incident, with the answers that were right: ``regression.trigger_rate`` is the
    share that it still gets wrong, ``regression.missed`` their number, ``regression.cases`` how many there are."""
    wrong = [(model.score(example.features) >= HALF) != bool(example.label) for example in incident]
    return {
        "regression.trigger_rate": _share(wrong),
        "regression.missed": float(sum(wrong)),
        "regression.cases": float(len(wrong)),
    }


def write_tensors(tensors: Mapping[str, Sequence[float]], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file of flat float32 tensors, in the order of their names."""
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    content = b""
    for name, values in sorted(tensors.items()):
        data = struct.pack(f"<{len(values)}f", *values)
        span = [len(content), len(content) + len(data)]
        header[name] = {"dtype": "F32", "shape": [len(values)], "data_offsets": span}
        content += data
    head = json.dumps(header, separators=(",", ":")).encode()
    # Padded with blanks, so that the numbers are aligned (format, "Notes").
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + content


def read_tensors(content: bytes) -> dict[str, list[float]]:
    """The tensors of a safetensors file of float32.

    Raises:
        ValueError: It is none.
    """
    try:
        (size,) = struct.unpack_from("<Q", content)
        if size > len(content) - 8:
            raise ValueError("the header is longer than the file")
        header = json.loads(content[8 : 8 + size])
        found = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            start, end = entry["data_offsets"]
            count = (end - start) // _SIZE[entry["dtype"]]
            found[name] = list(struct.unpack_from(f"<{count}f", content[8 + size + start : 8 + size + end]))
        return found
    except (struct.error, KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError("this is no safetensors file of float32 numbers") from error


def _product(left: float, right: float) -> float:
    return left * right


def _squash(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))


def _softplus(value: float) -> float:
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def _share(flags: Sequence[bool]) -> float:
    return round(sum(flags) / len(flags), 6) if flags else 0.0


def _auc(scored: Sequence[tuple[float, int]]) -> float:
    """Chance that one who left scores above one who stayed; ties count half."""
    left = sorted(score for score, label in scored if label)
    stayed = sorted(score for score, label in scored if not label)
    if not left or not stayed:
        return 0.0
    wins = sum((one > other) + (one == other) / 2 for one in left for other in stayed)
    return round(wins / (len(left) * len(stayed)), 6)
