"""Which files may be in a model version: an allow list, each with its own check. Nothing is ever loaded. Pure.

Allowed are weights as safetensors, and configuration, data and text that are what their names say. Anything else is
refused; a pickle is named as such, also under another name, broken or inside an archive, because that is what an
attacker would want to be loaded (facts §6.1, G5; nullifAI).
"""

import io
import zipfile
from collections.abc import Callable, Iterable
from typing import NamedTuple

from activities.systems.mlflow import configs, pickles, safetensors
from activities.systems.mlflow.shown import shown

HEAD = 1_000_000
"""Bytes of a file that are looked at to say what it is."""
LARGEST_CONFIG = 64 * 1024 * 1024
TEXT = (".txt", ".md")
JSON = (".json", ".jsonl", ".sig")
TEMPLATE = (".jinja", ".j2")
MAGIC = (
    (b"PK\x03\x04", "a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"\x89HDF\r\n\x1a\n", "HDF5, which may hold code of Keras"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"#!", "a script"),
    (b"\x93NUMPY", "a NumPy array, which may hold a pickle"),
    (b"GGUF", "GGUF"),
)
NAMED = {
    ".py": "Python source",
    ".pth": "a name that Python runs at its start, or a PyTorch pickle",
    ".pt": "a PyTorch pickle by its name",
    ".bin": "a PyTorch pickle by its name",
    ".ckpt": "a PyTorch pickle by its name",
    ".pkl": "a pickle by its name",
    ".pickle": "a pickle by its name",
    ".joblib": "a pickle by its name",
    ".npy": "a NumPy array, which may hold a pickle",
    ".so": "a program",
    ".dll": "a program",
    ".h5": "HDF5, which may hold code of Keras",
    ".keras": "a Keras archive, which may hold code",
}


Read = Callable[[int], bytes]
"""Gives at most so many bytes of a file's beginning."""


class File(NamedTuple):
    """A file of a version: path, size in bytes, and how to read its beginning."""

    path: str
    size: int
    read: Read


def scan(files: Iterable[File]) -> list[str]:
    """What is wrong, ``PATH: sentence``; empty if every file is allowed and sane."""
    return [f"{shown(file.path)}: {said}" for file in files for said in _one(file)]


def _one(file: File) -> list[str]:
    name = file.path.rpartition("/")[2].lower()
    kind = "." + name.rpartition(".")[2] if "." in name else ""
    if kind == ".safetensors":
        return _weights(file)
    if kind in (*JSON, *TEXT, *TEMPLATE):
        if file.size > LARGEST_CONFIG:
            return ["it is over 64 MB, too large to be looked through"]
        content = file.read(LARGEST_CONFIG + 1)
        if len(content) > LARGEST_CONFIG:
            return ["it is larger than the registry lists"]
        return _readable(content, kind)
    return [f"it is not on the list of what may be there; it is {_what(file.read(HEAD), kind)}"]


def _weights(file: File) -> list[str]:
    head = file.read(HEAD)
    wanted = 8 + safetensors.header_length(head)
    if len(head) < wanted <= min(file.size, 8 + safetensors.LONGEST_HEADER):
        head = file.read(wanted)
    wrong = safetensors.header_problems(head, file.size)
    hidden = _hidden(head)
    return [f"it is {hidden}, not safetensors"] if wrong and hidden else wrong


def _readable(content: bytes, kind: str) -> list[str]:
    hidden = _hidden(content)
    if hidden:
        return [f"it is {hidden}, not what its name says"]
    if kind == ".jsonl":
        lines = [configs.read(line) for line in content.splitlines() if line.strip()]
        return ["a line of it is not JSON"] if any(wrong for _, wrong in lines) else []
    if kind in JSON:
        value, wrong = configs.read(content)
        return [wrong] if wrong else configs.problems(value)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return ["it is not UTF-8"]
    if "\x00" in text:
        return ["it is not text"]
    return configs.template_problems(text) if kind in TEMPLATE else []


def _what(head: bytes, kind: str) -> str:
    return _hidden(head) or NAMED.get(kind) or "of no kind that is known"


def _hidden(head: bytes) -> str:
    """What the bytes are, if that is something that is never allowed; else empty."""
    for magic, what in MAGIC:
        if head.startswith(magic):
            inner = _zipped(head) if what == "a zip archive" else ""
            return f"{what}{inner}"
    found = pickles.read_opcodes(head)
    return str(found) if found is not None else ""


def _zipped(head: bytes) -> str:
    """What of an archive's names says that there is a pickle in it, as in what PyTorch saves."""
    try:
        names = zipfile.ZipFile(io.BytesIO(head)).namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        # Only its beginning is here, or it is broken on purpose; its first names stand in the clear.
        return " with a pickle in it" if b".pkl" in head else ""
    return " with a pickle in it" if any(name.endswith((".pkl", ".pickle")) for name in names) else ""
