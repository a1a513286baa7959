"""What an expression reads, and which of it may be unset without harm. Static: nothing is evaluated."""

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import nodes

from playbooks.expr_grammar import key_of, parse

Chain = tuple[str, ...]
_NONE: frozenset[Chain] = frozenset()
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": lambda left, right: left in right,
    "notin": lambda left, right: left not in right,
}


@dataclass(frozen=True)
class Read:
    """One field that is read: ``("steps", "tokens", "users")``.

    ``guarded``: it may be unset, because ``default()``, ``is defined`` or a test before it in the same
    expression sees to that. A chain ends before a number or a computed key.
    """

    chain: Chain
    guarded: bool


@lru_cache(maxsize=2048)
def reads(source: str) -> tuple[Read, ...]:
    """Everything an expression reads, in order, once each.

    Raises:
        ExprError: The expression leaves the grammar.
    """
    return tuple(dict.fromkeys(_Reader().reads(parse(source), _NONE)))


def names(source: str) -> list[Chain]:
    """The chains of :func:`reads`, once each.

    Raises:
        ExprError: The expression leaves the grammar.
    """
    return list(dict.fromkeys(read.chain for read in reads(source)))


@lru_cache(maxsize=2048)
def established(source: str, truth: bool = True) -> frozenset[Chain]:
    """Chains that are surely set where this condition held (or, with ``truth=False``, where it did not).

    Raises:
        ExprError: The expression leaves the grammar.
    """
    return _Reader().established(parse(source), truth)


@lru_cache(maxsize=2048)
def demands(source: str, truth: bool = True) -> frozenset[Chain]:
    """Chains without whose truth this condition cannot hold (or, with ``truth=False``, cannot but hold); what
    cannot be known is left out.

    Raises:
        ExprError: The expression leaves the grammar.
    """
    return _demands(parse(source), truth)


@lru_cache(maxsize=2048)
def calls(source: str) -> frozenset[str]:
    """Functions that an expression calls.

    Raises:
        ExprError: The expression leaves the grammar.
    """
    tree = parse(source)
    found = [tree] if isinstance(tree, nodes.Call) else []
    found += tree.find_all(nodes.Call)
    return frozenset(call.node.name for call in found if isinstance(call.node, nodes.Name))


def sole_chain(source: str) -> Chain | None:
    """The chain of an expression that is nothing but one; else ``None``.

    Raises:
        ExprError: The expression leaves the grammar.
    """
    tree = parse(source)
    chain = _chain(tree)
    return chain if chain is not None and _length(tree) == len(chain) else None


def is_known(chain: Chain, known: frozenset[Chain]) -> bool:
    """Whether a chain, or something below it, is among those surely set."""
    return any(other[: len(chain)] == chain for other in known)


def _length(node: nodes.Node) -> int:
    length = 1
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        length, node = length + 1, node.node
    return length


def _chain(node: nodes.Node) -> Chain | None:
    """The chain an access reads, cut before the first number or computed key; ``None`` for anything else."""
    keys: list[str | int | None] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        keys.append(key_of(node))
        node = node.node
    if not isinstance(node, nodes.Name):
        return None
    chain = [node.name]
    for key in reversed(keys):
        if not isinstance(key, str):
            break
        chain.append(key)
    return tuple(chain)


def _indexes(node: nodes.Node) -> Iterator[nodes.Node]:
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getitem) and key_of(node) is None:
            yield node.arg
        node = node.node


class _Reader:
    """One pass over one tree; what each node establishes is found once."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, bool], frozenset[Chain]] = {}

    def reads(self, node: nodes.Node, known: frozenset[Chain], guarded: bool = False) -> Iterator[Read]:
        chain = _chain(node)
        if chain is not None:
            yield Read(chain, guarded or is_known(chain, known))
            for index in _indexes(node):
                yield from self.reads(index, known)
        elif isinstance(node, nodes.Filter) and node.name == "default" and node.node is not None:
            yield from self.reads(node.node, known, guarded=_chain(node.node) is not None)
            for argument in node.args:
                yield from self.reads(argument, known)
        elif isinstance(node, nodes.Test) and node.name == "defined":
            yield from self.reads(node.node, known, guarded=_chain(node.node) is not None)
        elif isinstance(node, nodes.And | nodes.Or):
            yield from self.reads(node.left, known)
            yield from self.reads(node.right, known | self.established(node.left, isinstance(node, nodes.And)))
        elif isinstance(node, nodes.CondExpr):
            yield from self.reads(node.test, known)
            yield from self.reads(node.expr1, known | self.established(node.test, True))
            if node.expr2 is not None:
                yield from self.reads(node.expr2, known | self.established(node.test, False))
        elif isinstance(node, nodes.Call):
            for argument in node.args:
                yield from self.reads(argument, known)
        else:
            for child in node.iter_child_nodes():
                yield from self.reads(child, known)

    def established(self, node: nodes.Node, truth: bool) -> frozenset[Chain]:
        found = self._found.get((id(node), truth))
        if found is None:
            found = self._found[id(node), truth] = self._established(node, truth)
        return found

    def _established(self, node: nodes.Node, truth: bool) -> frozenset[Chain]:
        if isinstance(node, nodes.Not):
            return self.established(node.node, not truth)
        if isinstance(node, nodes.And | nodes.Or):
            left, right = self.established(node.left, truth), self.established(node.right, truth)
            return left | right if isinstance(node, nodes.And) is truth else left & right
        if isinstance(node, nodes.Test) and node.name == "defined":
            chain = _whole(node.node)
            return frozenset((chain,)) if truth and chain else _NONE
        fallback = _fallback(node)
        if fallback is not None and bool(fallback[1]) is not truth:
            return frozenset((fallback[0],))
        if isinstance(node, nodes.Compare) and len(node.ops) == 1:
            return _compared(node, truth)
        return _NONE


def _demands(node: nodes.Node, truth: bool) -> frozenset[Chain]:
    if isinstance(node, nodes.Not):
        return _demands(node.node, not truth)
    if isinstance(node, nodes.And | nodes.Or):
        left, right = _demands(node.left, truth), _demands(node.right, truth)
        return left | right if isinstance(node, nodes.And) is truth else left & right
    if isinstance(node, nodes.Compare) and len(node.ops) == 1 and node.ops[0].op in ("eq", "ne"):
        other = node.ops[0].expr
        if not isinstance(other, nodes.Const) or not isinstance(other.value, bool):
            return _NONE
        same = (node.ops[0].op == "eq") is truth
        return _demands(node.expr, other.value is same)
    if not truth:
        return _NONE
    fallback = _fallback(node)
    if fallback is not None:
        return _NONE if fallback[1] else frozenset((fallback[0],))
    chain = _whole(node)
    return frozenset((chain,)) if chain else _NONE


def _whole(node: nodes.Node) -> Chain | None:
    chain = _chain(node)
    return chain if chain is not None and _length(node) == len(chain) else None


def _fallback(node: nodes.Node) -> tuple[Chain, Any] | None:
    """Of ``CHAIN | default(CONST)``: the chain and the constant."""
    if isinstance(node, nodes.Filter) and node.name == "default" and len(node.args) == 1 and node.node is not None:
        chain, constant = _whole(node.node), node.args[0]
        if chain is not None and isinstance(constant, nodes.Const):
            return chain, constant.value
    return None


def _compared(node: nodes.Compare, truth: bool) -> frozenset[Chain]:
    """A comparison with a constant that the fallback would not have passed shows that the field was set."""
    fallback = _fallback(node.expr)
    if fallback is None:
        return _NONE
    try:
        outcome = bool(_COMPARE[node.ops[0].op](fallback[1], _literal(node.ops[0].expr)))
    except TypeError:
        return _NONE
    return frozenset((fallback[0],)) if outcome is not truth else _NONE


def _literal(node: nodes.Node) -> Any:
    """A constant or a list of them; nothing is computed, so that no analysis takes long."""
    if isinstance(node, nodes.Const):
        return node.value
    if isinstance(node, nodes.List | nodes.Tuple):
        return [_literal(item) for item in node.items]
    raise TypeError("not a literal")
