"""Whether the header of a safetensors file is sane, without reading a single weight. Pure.

The format (https://github.com/huggingface/safetensors, README "Format"): eight bytes with the header's length, little
endian; a JSON object that begins with ``{`` and may be padded with blanks, at most 100 MB; then the data. The header
names each tensor with dtype, shape and its place in the data. The reference rejects duplicate names, places that
overlap or leave holes, and data that the header does not cover; so is done here: what no tensor covers could be
anything, a second file for instance.
"""

import json
import math
from collections.abc import Iterable
from typing import Any

from activities.systems.mlflow.shown import shown

LONGEST_HEADER = 100_000_000
BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
"""Bits of a number, by dtype."""
MOST_PROBLEMS = 5


def header_length(start: bytes) -> int:
    """Bytes of the header, from the first eight of the file."""
    return int.from_bytes(start[:8], "little")


def header_problems(content: bytes, size: int) -> list[str]:
    """What is wrong with a file, a sentence each; empty if it is sane.

    Args:
        content: The file's beginning: its header at least, as far as the file goes.
        size: Bytes of the whole file.
    """
    if size < 8 or len(content) < 8:
        return ["it is too short to be safetensors"]
    length = header_length(content)
    if length > LONGEST_HEADER:
        return [f"its header would be {length} bytes, over the format's 100 MB: it is no safetensors file"]
    if length > size - 8 or len(content) < 8 + length:
        return ["its header is longer than the file"]
    raw = content[8 : 8 + length]
    if not raw.startswith(b"{"):
        return ["its header is no JSON object"]
    try:
        header = json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_refused)
    except _Duplicate as error:
        return [f"its header names {shown(str(error))} twice"]
    except (ValueError, RecursionError):
        return ["its header is no JSON object"]
    problems = list(_metadata(header.pop("__metadata__", {})))
    spans: list[tuple[int, int, str]] = []
    for name, entry in header.items():
        wrong, span = _tensor(entry)
        if wrong:
            problems.append(f"tensor {shown(name)}: {wrong}")
        elif span is not None:
            spans.append((*span, name))
    if not problems:
        problems += _places(spans, size - 8 - length)
    return problems[:MOST_PROBLEMS]


class _Duplicate(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Duplicate(key)
        found[key] = value
    return found


def _refused(constant: str) -> Any:
    raise ValueError(constant)


def _metadata(metadata: Any) -> Iterable[str]:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        yield "its metadata is not text by name"


def _tensor(entry: Any) -> tuple[str, tuple[int, int] | None]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        return "it is not described by dtype, shape and data_offsets", None
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        return f"its dtype {shown(str(dtype), 20)} is none of the format's", None
    if not isinstance(shape, list) or not all(_count(extent) for extent in shape):
        return "its shape is no list of sizes", None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_count(place) for place in offsets):
        return "its place is no pair of offsets", None
    start, end = offsets
    bits = math.prod(shape) * BITS[dtype]
    if end < start or bits != (end - start) * 8:
        return "its place is not as large as its shape and dtype need", None
    return "", (start, end)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _places(spans: list[tuple[int, int, str]], data: int) -> Iterable[str]:
    at = 0
    for start, end, name in sorted(spans):
        if start < at:
            yield f"tensor {shown(name)} overlaps another"
            return
        if start > at:
            yield f"{start - at} bytes before tensor {shown(name)} belong to no tensor"
            return
        at = end
    if at > data:
        yield f"its tensors need {at - data} bytes more than there are"
    elif at < data:
        yield f"{data - at} bytes at its end belong to no tensor"
