"""Which files may be in a model version; what an attacker would put there, whole, broken or under another name."""

import io
import json
import os
import pickle
import pickletools
import struct
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.systems.mlflow import configs, pickles, safetensors
from activities.systems.mlflow.formats import File, scan
from activities.systems.training.peer import churn


class Evil:
    """Runs when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("echo loaded",)


def evil(protocol: int) -> bytes:
    """A pickle that would call ``system``."""
    return pickle.dumps(Evil(), protocol)


def broken(protocol: int = 4) -> bytes:
    """nullifAI: what is to be run stands at the beginning, and behind it the stream breaks off."""
    return evil(protocol)[:-1] + b"\xff\xfe broken"


def found(path: str, content: bytes, size: int | None = None) -> list[str]:
    """What the scan says of one file."""
    return scan([File(path, len(content) if size is None else size, lambda most: content[:most])])


def file(header: Any, data: bytes = b"", *, raw: bytes | None = None, length: int | None = None) -> bytes:
    """A safetensors file with a header as given."""
    head = json.dumps(header).encode() if raw is None else raw
    return struct.pack("<Q", len(head) if length is None else length) + head + data


def tensor(start: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    """An entry of a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


WEIGHTS = churn.Model((1.0, 2.0, 3.0), (0.0,) * 16, 0.5).to_bytes({"format": "pt"})
ALLOWED = {
    "model.safetensors": WEIGHTS,
    "a/b/adapter.safetensors": file({}),
    "empty.safetensors": file({"a": tensor(0, 0, [0, 4])}),
    "packed.safetensors": file({"a": tensor(0, 3, [4], "F6_E2M3"), "b": tensor(3, 4, [2], "F4")}, bytes(4)),
    "padded.safetensors": file(None, bytes(4), raw=b'{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   '),
    "config.json": b'{"trust_remote_code": false, "auto_map": {}, "architectures": ["X"]}',
    "README.md": "# Überblick\ne.g. this. tea. cos(x)\nR.".encode(),
    "notes.txt": b"tea.",
    "vocab.txt": b"e.g.",
    "dataset.jsonl": b'{"id": 1}\n\n{"id": 2}\n',
    "model.sig": b'{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}',
    "chat_template.jinja": b"{% for m in messages %}{{ m['role'] + ': ' + m.content | trim }}{% endfor %}",
}


@pytest.mark.parametrize("path", sorted(ALLOWED))
def test_what_is_allowed(path: str) -> None:
    assert found(path, ALLOWED[path]) == []


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "path", ["model.safetensors", "README.md", "config.json", "model.pkl", "model.bin", "x", "m.sig"]
)
def test_a_pickle_is_named_under_whatever_name_and_never_loaded(protocol: int, path: str) -> None:
    (said,) = found(path, evil(protocol))
    assert f"a pickle that would call {os.system.__module__}.system" in said
    assert said.startswith(f"{path}: ")
    (said,) = found(path, broken(protocol))
    assert f"a broken pickle that would call {os.system.__module__}.system" in said


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_harmless_pickle_is_refused_as_well(protocol: int) -> None:
    (said,) = found("weights.safetensors", pickle.dumps({"w": [1.0, 2.0]}, protocol))
    assert said == "weights.safetensors: it is a pickle, not safetensors"


def test_a_pickle_whose_names_are_computed_is_still_one_that_calls() -> None:
    # The module's name is fetched from the memo, so that no text stands right before the opcode that uses it.
    content = b"\x80\x04\x8c\x05posix\x940\x8c\x06system\x940h\x00h\x01\x93\x8c\x02id\x85R."
    pickletools.dis(content, out=io.StringIO())
    read = pickles.read_opcodes(content)
    assert read is not None
    assert (read.imports, read.calls, read.whole) == (("posix.system",), True, True)


def archive(*names: str) -> bytes:
    """A zip archive with files of these names."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as made:
        for name in names:
            # Without the hour of day: the bytes name a test, and every process is to find the same tests.
            made.writestr(zipfile.ZipInfo(name), evil(2))
    return kept.getvalue()


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("m.pt", archive("archive/data.pkl"), "a zip archive with a pickle in it"),
        ("m.safetensors", archive("archive/data.pkl"), "a zip archive with a pickle in it, not safetensors"),
        ("m.pt", archive("archive/data.pkl")[:60], "a zip archive with a pickle in it"),
        ("m.pth", b"7z\xbc\xaf\x27\x1c" + evil(2), "a 7-Zip archive"),
        ("run.py", b"import os\n", "Python source"),
        ("x.pth", b"import os; os.system('id')\n", "a name that Python runs at its start"),
        ("lib.so", b"\x7fELF\x02", "a program"),
        ("config.json", b"#!/bin/sh\nid\n", "a script"),
        ("m.h5", b"\x89HDF\r\n\x1a\n", "HDF5"),
        ("m.npy", b"\x93NUMPY\x01\x00", "a NumPy array"),
        ("Dockerfile", b"FROM scratch", "of no kind that is known"),
        (".safetensors/x", b"", "of no kind that is known"),
        ("MLmodel", b"flavors: {}", "of no kind that is known"),
        ("README.MD", b"\xff\xfe", "not UTF-8"),
        ("a.txt", b"a\x00b", "not text"),
        ("a.json", b"{", "not JSON"),
        ("a.jsonl", b"{}\n{", "a line of it is not JSON"),
        ("a.json", b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_refused(path: str, content: bytes, said: str) -> None:
    lines = found(path, content)
    assert len(lines) == 1
    assert said in lines[0]


def test_a_text_that_is_too_large_to_look_through_is_refused() -> None:
    assert "over 64 MB" in found("a.json", b"{}", size=64 * 1024 * 1024 + 1)[0]


def test_a_path_cannot_forge_a_line() -> None:
    assert found("x\n5: fine.bin", b"")[0].startswith("x�5: fine.bin: ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "too short"),
        (b"\x01" * 7, "too short"),
        (file({}, length=100_000_001), "over the format's 100 MB"),
        (file({}, length=2**63), "over the format's 100 MB"),
        (file({}, length=50), "longer than the file"),
        (file(None, raw=b" {}"), "no JSON object"),
        (file([]), "no JSON object"),
        (file(None, raw=b"{\xff}"), "no JSON object"),
        (file(None, raw=b'{"a": NaN}'), "no JSON object"),
        (file(None, raw=b'{"a":1,"a":2}'), "names a twice"),
        (file({"__metadata__": {"a": 1}}), "metadata is not text"),
        (file({"__metadata__": []}), "metadata is not text"),
        (file({"a": []}), "not described by"),
        (file({"a": {**tensor(0, 4, [1]), "extra": 1}}, bytes(4)), "not described by"),
        (file({"a": tensor(0, 4, [1], "F128")}, bytes(4)), "dtype F128 is none"),
        (file({"a": tensor(0, 4, [-1])}, bytes(4)), "shape is no list of sizes"),
        (file({"a": tensor(0, 4, [True])}, bytes(4)), "shape is no list of sizes"),
        (file({"a": {**tensor(0, 4, [1]), "data_offsets": [0]}}, bytes(4)), "no pair of offsets"),
        (file({"a": tensor(4, 0, [0])}, bytes(4)), "not as large as its shape"),
        (file({"a": tensor(0, 4, [2])}, bytes(4)), "not as large as its shape"),
        (file({"a": tensor(0, 1, [1], "F4")}, bytes(1)), "not as large as its shape"),
        (file({"a": tensor(0, 8, [2]), "b": tensor(4, 8, [1])}, bytes(8)), "b overlaps another"),
        (file({"a": tensor(4, 8, [1])}, bytes(8)), "4 bytes before tensor a belong to no tensor"),
        (file({"a": tensor(0, 4, [1])}, bytes(9)), "5 bytes at its end belong to no tensor"),
        (file({"a": tensor(0, 8, [2])}, bytes(4)), "need 4 bytes more"),
        (file({}, b"hidden"), "6 bytes at its end belong to no tensor"),
        (WEIGHTS[:-1], "need 1 bytes more"),
        (WEIGHTS + archive("data.pkl"), "bytes at its end belong to no tensor"),
    ],
)
def test_a_header_of_safetensors_that_is_not_sane(content: bytes, said: str) -> None:
    (line,) = found("w.safetensors", content)
    assert said in line


def test_a_long_header_is_read_to_its_end_and_no_weight_is() -> None:
    header = {f"t{n}": tensor(n * 4, n * 4 + 4, [1]) for n in range(30_000)}
    content = file(header, bytes(120_000))
    asked: list[int] = []

    def read(most: int) -> bytes:
        asked.append(most)
        return content[:most]

    assert scan([File("big.safetensors", len(content), read)]) == []
    assert asked[-1] == len(content) - 120_000


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=5).filter(lambda name: name != "__metadata__"),
        st.lists(st.floats(width=32, allow_nan=False), max_size=5),
        max_size=4,
    ),
    st.binary(min_size=1, max_size=9),
)
def test_what_a_writer_writes_is_sane_and_with_anything_behind_it_is_not(
    tensors: dict[str, list[float]], more: bytes
) -> None:
    content = churn.write_tensors(tensors, {"k": "v"})
    assert safetensors.header_problems(content, len(content)) == []
    assert safetensors.header_problems(content + more, len(content) + len(more)) != []


@given(st.binary(max_size=200))
def test_no_bytes_break_a_reader(content: bytes) -> None:
    for path in ("a.safetensors", "a.json", "a.txt", "a.jinja", "a.bin", "a.jsonl"):
        assert isinstance(found(path, content), list)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"trust_remote_code": True}, "trust_remote_code is on"),
        ({"a": [{"trust_remote_code": "yes"}]}, "trust_remote_code is on"),
        ({"auto_map": {"AutoModel": "modeling.X"}}, "auto_map names code"),
        ({"custom_pipelines": {"p": {"impl": "x.P"}}}, "custom_pipelines names code"),
        ({"model": {"_target_": "os.system"}}, "_target_ names a callable"),
        ({"py/object": "os.system"}, "py/object names a class"),
        ({"config": {"layers": [{"class_name": "Lambda"}]}}, "class_name Lambda is a layer that is code"),
        ({"implementation": "runtime.Evil"}, "implementation runtime.Evil is code"),
        ({"chat_template": "{{ x.__class__ }}"}, "a template reaches for __class__"),
        ({"chat_template": [{"name": "d", "template": "{% include 'x' %}"}]}, "a template reaches for other"),
    ],
)
def test_a_config_that_names_code_is_refused(config: dict[str, Any], said: str) -> None:
    (line,) = found("config.json", json.dumps(config).encode())
    assert said in line


def test_a_config_that_is_nested_without_end_is_refused() -> None:
    config: Any = {}
    for _ in range(configs.DEEPEST + 2):
        config = {"a": config}
    assert configs.problems(config) == ["it is nested too deeply to be looked through"]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "__class__"),
        ("{{ x['__globals__'] }}", "names __globals__"),
        ("{{ x['_' ~ '_class_' ~ '_'] }}", "computes the name"),
        ("{{ x|attr('a') }}", "filter attr"),
        ("{{ x[('_'|string)] }}", "computes the name"),
        ("{{ lipsum() }}", "calls lipsum"),
        ("{{ cycler.next() }}", "calls next"),
        ("{{ self.body() }}", "calls body"),
        ("{{ os.popen('id').read() }}", "calls popen"),
        ("{{ '{0.x}'.format(a) }}", "calls format"),
        ("{{ ''.format_map(a) }}", "calls format_map"),
        ("{{ (a or b)() }}", "calls what it computes"),
        ("{% from 'x' import y %}", "reaches for other templates"),
        ("{% extends 'x' %}", "reaches for other templates"),
        ("{% if %}", "cannot be parsed"),
    ],
)
def test_a_template_with_code_in_it_is_refused(template: str, said: str) -> None:
    assert said in "; ".join(configs.template_problems(template))
    assert found("chat_template.jinja", template.encode())


CHATML = """\
{%- set ns = namespace(first=true) %}
{%- macro turn(m) %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>{% endmacro %}
{%- for message in messages[1:] %}
  {%- if not (message['role'] in ['user', 'assistant']) %}{{ raise_exception('odd role') }}{% endif %}
  {%- if loop.first and messages[loop.index0 - 1].role.startswith('sys') %}{% continue %}{% endif %}
  {{- turn(message) }}
  {% generation %}{{ message.content.split('</think>')[-1].strip() }}{% endgeneration %}
{%- endfor %}
{%- for name, value in tools.items() %}{{ value | tojson(indent=2) }}{% endfor %}
{{ strftime_now('%d %b %Y') }}{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join }}
"""


def test_a_template_that_lays_out_a_conversation_is_allowed() -> None:
    assert configs.template_problems(CHATML) == []
