"""The small language of the gates: an expression over what is known of an image, such as `seam > 2 and filled > 0`."""

from __future__ import annotations

import ast
import difflib
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_OPERATIONS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_HELP = "write names, numbers, texts, + - * /, comparisons, `in`, `and`, `or`, `not`, abs()"


@dataclass(frozen=True)
class Expression:
    """An expression that was checked.

    Attributes:
        text: as it was written.
        names: of the facts that it speaks of.
    """

    text: str
    names: frozenset[str]

    @classmethod
    def parse(cls, text: str, known: Iterable[str]) -> Expression:
        """Checks a text: Python's syntax, of which only what is harmless is allowed.

        Raises:
            ValueError: it is no expression, or speaks of something unknown; says what is nearest.

        Example:
            >>> sorted(Expression.parse("seam > 2 and filled > 0", ["seam", "filled"]).names)
            ['filled', 'seam']
        """
        tree = _tree(text)
        called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}
        _check(tree)
        choices = sorted(known)
        for name in sorted(names):
            if name not in choices:
                nearest = difflib.get_close_matches(name, choices, n=1, cutoff=0.0)
                raise ValueError(f"there is no fact {name!r}; the nearest is {nearest[0]!r}")
        return cls(text, frozenset(names))

    def evaluate(self, facts: pd.DataFrame) -> pd.Series:
        """Its value for each row; missing where it depends on something missing (three-valued logic, as in SQL).

        Args:
            facts: one row per image; columns of pandas' nullable types, or of frozensets for `in`. A column that is
                not there counts as missing throughout.
        """
        value = _value(_tree(self.text), facts)
        if isinstance(value, pd.Series):
            return value
        return pd.Series([value] * len(facts), index=facts.index, dtype="object").convert_dtypes()


def _tree(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{text!r} is no expression: {_HELP}") from error


def _check(node: ast.AST) -> None:
    """Raises ValueError at the first thing that is not on the list."""
    is_fine: bool = isinstance(node, (ast.BoolOp, ast.And, ast.Or, ast.Not, ast.USub, ast.Name, ast.Load, ast.Tuple))
    if isinstance(node, ast.UnaryOp):
        is_fine = isinstance(node.op, (ast.Not, ast.USub))
    elif isinstance(node, ast.BinOp):
        is_fine = type(node.op) in _OPERATIONS
    elif isinstance(node, ast.Compare):
        is_fine = all(type(op) in _COMPARISONS or isinstance(op, (ast.In, ast.NotIn)) for op in node.ops)
    elif isinstance(node, ast.Constant):
        is_fine = isinstance(node.value, (int, float, str))
    elif isinstance(node, ast.Call):
        is_fine = ast.unparse(node.func) == "abs" and len(node.args) == 1 and not node.keywords
    elif isinstance(node, (ast.operator, ast.cmpop)):
        is_fine = True  # judged with the node that has it
    if not is_fine:
        raise ValueError(f"{ast.unparse(node) if isinstance(node, ast.expr) else node!r} is not allowed: {_HELP}")
    for child in ast.iter_child_nodes(node):
        _check(child)


def _value(node: ast.expr, facts: pd.DataFrame) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return facts[node.id] if node.id in facts else pd.Series(pd.NA, index=facts.index, dtype="Float64")
    if isinstance(node, ast.Tuple):
        return tuple(_value(item, facts) for item in node.elts)
    if isinstance(node, ast.Call):
        return abs(_value(node.args[0], facts))
    if isinstance(node, ast.BinOp):
        return _OPERATIONS[type(node.op)](_value(node.left, facts), _value(node.right, facts))
    if isinstance(node, ast.UnaryOp):
        value = _value(node.operand, facts)
        return -value if isinstance(node.op, ast.USub) else ~_logical(value, facts)
    if isinstance(node, ast.BoolOp):
        return _joined(node, facts)
    return _compared(node, facts)


def _joined(node: ast.BoolOp, facts: pd.DataFrame) -> Any:
    values = [_logical(_value(item, facts), facts) for item in node.values]
    join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
    result = values[0]
    for value in values[1:]:
        result = join(result, value)
    return result


def _compared(node: Any, facts: pd.DataFrame) -> Any:
    """A chain such as 0 < seam <= 2 means that all its links hold."""
    result, left = None, _value(node.left, facts)
    for sign, item in zip(node.ops, node.comparators, strict=True):
        right = _value(item, facts)
        link = _link(sign, left, right, facts)
        result = link if result is None else result & link
        left = right
    return result


def _link(sign: ast.cmpop, left: Any, right: Any, facts: pd.DataFrame) -> Any:
    if not isinstance(sign, (ast.In, ast.NotIn)):
        return _logical(_COMPARISONS[type(sign)](left, right), facts)
    if isinstance(right, tuple):
        found = _logical(left.isin(right).mask(left.isna()) if isinstance(left, pd.Series) else left in right, facts)
    elif right.dtype == object:  # a set per image
        found = pd.Series([pd.NA if row is None else left in row for row in right], index=facts.index, dtype="boolean")
    else:
        found = pd.Series(pd.NA, index=facts.index, dtype="boolean")
    return ~found if isinstance(sign, ast.NotIn) else found


def _logical(value: Any, facts: pd.DataFrame) -> pd.Series:
    if isinstance(value, pd.Series):
        return value if value.dtype == "boolean" else value.astype("boolean")
    return pd.Series(bool(value), index=facts.index, dtype="boolean")
