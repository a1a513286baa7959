"""Configuration beside a model's weights: whether it names code to run. Pure.

``auto_map`` and ``trust_remote_code`` make a loader fetch and run Python from a model's own repository (Hugging Face,
"custom models"); a chat template is a Jinja program; ``_target_``, ``py/object`` and Keras ``Lambda`` name callables.
The safe weights beside them are then beside the point (facts §6.1, G5).
"""

import json
from collections.abc import Iterator
from typing import Any

from jinja2 import Environment, TemplateError, nodes

from activities.systems.mlflow.shown import shown

DEEPEST = 60
LONGEST_TEMPLATE = 1_000_000
CODE = {
    "auto_map": "names code of the model's own repository",
    "custom_pipelines": "names code of the model's own repository",
    "custom_code": "names custom code",
    "_target_": "names a callable",
    "py/object": "names a class to be made",
    "py/reduce": "names a callable",
    "py/function": "names a callable",
    "py/type": "names a class",
    "__reduce__": "names a callable",
    "loader_module": "names a loader",
    "code_paths": "names code to import",
    "model_code_path": "names code to import",
}
"""Keys that name code, whatever their value unless it is empty, and what is said of them."""
SAFE_NAMES = frozenset({"raise_exception", "strftime_now", "namespace", "range", "dict"})
"""What a chat template may call: what every tokenizer offers it."""
_METHODS = """
strip lstrip rstrip split rsplit splitlines startswith endswith upper lower title capitalize replace join find get items
keys values append index count removeprefix removesuffix isdigit
"""
_FILTERS = """
abs batch capitalize count d default dictsort e escape first float indent int items join last length list lower map max
min reject rejectattr replace reverse round safe select selectattr slice sort string sum title tojson trim truncate
unique upper
"""
SAFE_METHODS, SAFE_FILTERS = frozenset(_METHODS.split()), frozenset(_FILTERS.split())
REACHING = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.ExtensionAttribute)


def read(content: bytes) -> tuple[Any, str]:
    """A configuration's value, and what is wrong with it as JSON."""
    try:
        return json.loads(content.decode()), ""
    except UnicodeDecodeError:
        return None, "it is not UTF-8"
    except (ValueError, RecursionError):
        return None, "it is not JSON"


def problems(value: Any) -> list[str]:
    """What in a configuration names code to run, a sentence each, in order, each once."""
    return list(dict.fromkeys(_walk(value, 0)))


def template_problems(text: str) -> list[str]:
    """What in a Jinja template is more than laying out a conversation; it is parsed, never rendered."""
    if len(text) > LONGEST_TEMPLATE:
        return ["a template is over 1 MB"]
    try:
        # Extensions that templates of tokenizers use; parsing runs nothing.
        environment = Environment(extensions=["jinja2.ext.loopcontrols"], autoescape=True)
        tree = environment.parse(_without_generation(text))
    except (TemplateError, RecursionError, ValueError, MemoryError):
        return ["a template cannot be parsed"]
    macros = {node.name for node in tree.find_all(nodes.Macro)}
    return list(dict.fromkeys(said for node in tree.find_all(nodes.Node) for said in _node(node, macros)))


def _without_generation(text: str) -> str:
    """``{% generation %}`` is a block of transformers' own that marks the assistant's text; it does nothing else."""
    for word in ("generation", "endgeneration"):
        for start in ("{%", "{%-"):
            for end in ("%}", "-%}"):
                text = text.replace(f"{start} {word} {end}", "")
    return text


def _walk(value: Any, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        yield "it is nested too deeply to be looked through"
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            name = str(key)
            if name in CODE and item not in (None, "", [], {}, False):
                yield f"{name} {CODE[name]}"
            elif name == "trust_remote_code" and item not in (False, None):
                yield "trust_remote_code is on"
            elif name == "class_name" and item in ("Lambda", "TFOpLambda"):
                yield f"class_name {item} is a layer that is code"
            elif name == "implementation" and isinstance(item, str) and "." in item and not _shipped(item):
                yield f"implementation {shown(item)} is code outside the serving runtime"
            if name in ("chat_template", "template") and isinstance(item, str):
                yield from template_problems(item)
            else:
                yield from _walk(item, depth + 1)


def _shipped(implementation: str) -> bool:
    return implementation.partition(".")[0] in ("mlserver_sklearn", "mlserver_xgboost", "mlserver_lightgbm")


def _node(node: nodes.Node, macros: set[str]) -> Iterator[str]:
    if isinstance(node, REACHING):
        yield "a template reaches for other templates"
    elif isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
        yield f"a template reaches for {shown(node.attr)}"
    elif isinstance(node, nodes.Getitem) and not _plain_index(node.arg):
        yield "a template computes the name of what it reaches for"
    elif isinstance(node, nodes.Const) and isinstance(node.value, str) and "__" in node.value:
        yield f"a template names {shown(node.value)}"
    elif isinstance(node, nodes.Filter) and node.name not in SAFE_FILTERS:
        yield f"a template uses the filter {shown(node.name)}"
    elif isinstance(node, nodes.Call):
        called = node.node
        if isinstance(called, nodes.Getattr):
            if called.attr not in SAFE_METHODS and called.attr not in macros:
                yield f"a template calls {shown(called.attr)}"
        elif not isinstance(called, nodes.Name) or called.name not in SAFE_NAMES | macros | {"caller"}:
            yield f"a template calls {shown(called.name) if isinstance(called, nodes.Name) else 'what it computes'}"


def _plain_index(index: nodes.Expr) -> bool:
    """Whether an index is a constant, a slice, a name or arithmetic; joined texts are how names are hidden."""
    if isinstance(index, nodes.Const):
        return not (isinstance(index.value, str) and index.value.startswith("_"))
    return not any(
        isinstance(node, nodes.Concat | nodes.Filter | nodes.Call) for node in (index, *index.find_all(nodes.Node))
    )
