"""Python's literals in RL Zoo's files ("dict(log_std_init=-2, activation_fn=nn.ReLU)"), read without running them."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

_LONGEST = 5000


@dataclass(frozen=True)
class Name:
    """A name that nobody looks up: "nn.ReLU"."""

    text: str


def read_literal(text: str) -> Any:
    """Numbers, texts, lists, tuples, mappings, `dict(...)` of these, and names as `Name`.

    Raises:
        ValueError: it is anything else.
    """
    if len(text) > _LONGEST:
        raise ValueError("too long")
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError("no literal of Python") from error


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(each) for each in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [_value(each) for each in node.keys if each is not None]
        return dict(zip(map(str, keys), map(_value, node.values), strict=True))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _value(node.operand)
        if isinstance(number, int | float):
            return -number
    if isinstance(node, ast.Name | ast.Attribute):
        return Name(ast.unparse(node))
    is_dict = isinstance(node, ast.Call) and ast.unparse(node.func) == "dict" and not node.args
    if is_dict and isinstance(node, ast.Call) and all(each.arg for each in node.keywords):
        return {str(each.arg): _value(each.value) for each in node.keywords}
    raise ValueError(f"{ast.unparse(node)[:60]} is no literal")
