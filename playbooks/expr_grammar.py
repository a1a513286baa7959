"""What an expression may consist of: a closed list, checked on the tokens and then on the tree.

The tokens come first, because parser and compiler recurse: nesting is bounded before either runs.
"""

from functools import lru_cache

from jinja2 import Environment, nodes
from jinja2.parser import Parser

from playbooks.expr_text import ExprError

MAX_SOURCE = 2_000
MAX_NESTING = 25
MAX_UNARY = 5
MAX_DEPTH = 60
MAX_NODES = 500
MAX_INTEGER = 2**53 - 1

ROOTS = frozenset(("steps", "inputs", "incident", "run"))
"""Names that hold fields; an expression reads a named field of theirs, never all of them at once."""
FUNCTIONS = {
    "now": (0, 0),
    "seconds": (1, 1),
    "minutes": (1, 1),
    "hours": (1, 1),
    "days": (1, 1),
    "len": (1, 1),
    "min": (1, 20),
    "max": (1, 20),
}
"""Function to its least and greatest number of arguments."""
FILTERS = {
    "default": (1, 2),
    "lower": (0, 0),
    "upper": (0, 0),
    "trim": (0, 0),
    "length": (0, 0),
    "first": (0, 0),
    "last": (0, 0),
    "sort": (0, 0),
    "unique": (0, 0),
    "join": (0, 1),
    "int": (0, 1),
    "string": (0, 0),
    "tojson": (0, 0),
    "datetime": (0, 0),
}
TESTS = frozenset(("defined", "none"))

_GIVES_TEXT_OR_LIST = frozenset(("lower", "upper", "trim", "string", "tojson", "join", "sort", "unique"))
_ARITHMETIC = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod)
_PLAIN = (
    *_ARITHMETIC,
    nodes.And,
    nodes.Compare,
    nodes.Dict,
    nodes.List,
    nodes.Neg,
    nodes.Not,
    nodes.Operand,
    nodes.Or,
    nodes.Pair,
    nodes.Pos,
    nodes.Tuple,
)
_REFUSED = {
    nodes.Pow: "** is not part of the language.",
    nodes.Concat: "~ is not part of the language; write the text around the braces, or use +.",
    nodes.Slice: "Slices are not part of the language.",
    nodes.Keyword: "Arguments have no names here; write them in order.",
}
_SYNTAX = Environment(autoescape=False, optimized=False, cache_size=0)
_LEXER = _SYNTAX.lexer
_CLOSING = {"rparen", "rbracket", "rbrace"}
_OPENING = {"lparen", "lbracket", "lbrace"}


def unsafe(message: str) -> ExprError:
    """An expression that leaves the grammar."""
    return ExprError("unsafe_expression", message)


@lru_cache(maxsize=2048)
def parse(source: str) -> nodes.Expr:
    """The checked tree of an expression, without braces.

    Raises:
        ExprError: ``unsafe_expression``, or ``too_large`` for one beyond the limits.
    """
    if len(source) > MAX_SOURCE:
        raise ExprError("too_large", f"An expression has at most {MAX_SOURCE} characters, this one {len(source)}.")
    if not source.strip():
        raise unsafe("The expression is empty.")
    try:
        _check_tokens(source)
        parser = Parser(_SYNTAX, source, state="variable")
        tree = parser.parse_expression()
        if not parser.stream.eos:
            raise unsafe(f"The expression has ended before {_shown(parser.stream.current.value)}.")
    except MemoryError:
        raise
    except ExprError:
        raise
    except Exception as error:
        # Lexer and parser raise TemplateSyntaxError, but also ValueError and others on odd literals.
        raise unsafe(f"This is no expression: {' '.join(str(error).split())[:200].rstrip('.')}.") from None
    _check_tree(tree)
    return tree


def _shown(value: object) -> str:
    return repr(str(value)[:40])


def _check_tokens(source: str) -> None:
    nesting = unary = branches = 0
    for token in _LEXER.tokenize(source, state="variable"):
        if token.type in _OPENING:
            nesting += 1
        elif token.type in _CLOSING:
            nesting -= 1
        if token.type in ("sub", "add") or (token.type == "name" and token.value == "not"):
            unary += 1
        elif token.type not in _OPENING:
            unary = 0
        branches += token.type == "name" and token.value in ("if", "else")
        if nesting > MAX_NESTING or unary > MAX_UNARY + MAX_NESTING or branches > 2 * MAX_NESTING:
            raise ExprError("too_large", "The expression is nested too deeply.")
        if token.type == "integer" and abs(int(token.value)) > MAX_INTEGER:
            raise ExprError("too_large", "A number in the expression is too large.")
        if token.type == "float" and not abs(float(token.value)) < float("inf"):
            raise ExprError("too_large", "A number in the expression is too large.")


def _check_tree(tree: nodes.Expr) -> None:
    waiting: list[tuple[nodes.Node, int]] = [(tree, 1)]
    count = 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise ExprError("too_large", "The expression has too many parts; use several steps.")
        waiting.extend((child, depth + 1) for child in _checked(node))


def _checked(node: nodes.Node) -> list[nodes.Node]:
    """Check one node; the children that are still to be checked."""
    if isinstance(node, nodes.Name):
        _check_name(node.name)
        if node.name in ROOTS:
            raise unsafe(f"{node.name} cannot be used as a whole; name a field, as in {node.name}.NAME.")
        return []
    if isinstance(node, nodes.Const):
        return []
    if isinstance(node, nodes.Getattr | nodes.Getitem):
        return _checked_access(node)
    if isinstance(node, nodes.Call):
        return _checked_call(node)
    if isinstance(node, nodes.Filter):
        _check_arguments(node, "filter", FILTERS)
        return [node.node, *node.args] if node.node is not None else []
    if isinstance(node, nodes.Test):
        if node.name not in TESTS or node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
            raise unsafe(f"There is no test {node.name} here; there are {' and '.join(sorted(TESTS))}.")
        return [node.node]
    if isinstance(node, nodes.CondExpr):
        if node.expr2 is None:
            raise unsafe("An if in an expression needs an else.")
        return [node.test, node.expr1, node.expr2]
    if isinstance(node, nodes.Mul | nodes.Mod) and any(_is_text_or_list(side) for side in (node.left, node.right)):
        raise unsafe(f"{node.operator} works on numbers and durations only, not on text or lists.")
    if isinstance(node, nodes.Pair) and isinstance(node.key, nodes.Const) and isinstance(node.key.value, str):
        _check_key(node.key.value)
    if isinstance(node, _PLAIN):
        return list(node.iter_child_nodes())
    raise unsafe(_REFUSED.get(type(node), f"{type(node).__name__} is not part of the language."))


def _is_text_or_list(node: nodes.Node | None) -> bool:
    if isinstance(node, nodes.Filter):
        return node.name in _GIVES_TEXT_OR_LIST
    if isinstance(node, nodes.Add):
        return any(_is_text_or_list(side) for side in (node.left, node.right))
    return isinstance(node, nodes.List | nodes.Tuple | nodes.Dict) or (
        isinstance(node, nodes.Const) and isinstance(node.value, str)
    )


def _check_name(name: str) -> None:
    if name.startswith("_"):
        raise unsafe(f"{name[:40]}: names never begin with _.")
    if not name.isascii():
        # Python folds look-alike letters into one name, Jinja does not.
        raise unsafe(f"{name[:40]}: names are written in plain letters.")
    if name == "self":
        raise unsafe("self is a word of Jinja's and means nothing here.")
    if name in FUNCTIONS:
        raise unsafe(f"{name} is a function; write {name}().")


def key_of(node: nodes.Getattr | nodes.Getitem) -> str | int | None:
    """The fixed key that an access reads; ``None`` if it is computed."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    if isinstance(node.arg, nodes.Const) and type(node.arg.value) in (str, int):
        key: str | int = node.arg.value
        return key
    return None


def _checked_access(node: nodes.Getattr | nodes.Getitem) -> list[nodes.Node]:
    key = key_of(node)
    if isinstance(key, str):
        _check_key(key)
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        raise unsafe(_REFUSED[nodes.Slice])
    if isinstance(node.node, nodes.Name) and node.node.name in ROOTS:
        # What a computed name would read could neither be checked beforehand nor traced to who supplied it.
        if not isinstance(key, str):
            raise unsafe(f"The field of {node.node.name} must be named, not computed.")
        return []
    if key is not None:
        return [node.node]
    for part in node.arg.find_all(nodes.Const):  # type: ignore[union-attr]
        if isinstance(part.value, str):
            _check_key(part.value)
    return [node.node, node.arg]  # type: ignore[union-attr]


def _check_key(key: str) -> None:
    if key.strip().startswith("_"):
        raise unsafe(f"{key.strip()[:40]}: names never begin with _.")


def _checked_call(node: nodes.Call) -> list[nodes.Node]:
    if not isinstance(node.node, nodes.Name) or node.node.name not in FUNCTIONS:
        raise unsafe(f"Only these can be called: {', '.join(FUNCTIONS)}.")
    name = node.node.name
    _check_count(f"{name}()", node, FUNCTIONS[name])
    return list(node.args)


def _check_arguments(node: nodes.Filter, what: str, known: dict[str, tuple[int, int]]) -> None:
    if node.name not in known:
        raise unsafe(f"There is no {what} {node.name} here; there are {', '.join(known)}.")
    _check_count(f"The {what} {node.name}", node, known[node.name])


def _check_count(what: str, node: nodes.Call | nodes.Filter, limits: tuple[int, int]) -> None:
    if node.kwargs or node.dyn_args or node.dyn_kwargs:
        raise unsafe(_REFUSED[nodes.Keyword])
    least, most = limits
    if not least <= len(node.args) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise unsafe(f"{what} takes {wanted} arguments, not {len(node.args)}.")
