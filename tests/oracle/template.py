"""ROI names made from a number: the inside of an f-string with `x`, without evaluating code."""

import ast
import operator
from collections.abc import Callable
from string import Formatter

OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def fill(template: str, x: int) -> str:
    """The name of label id `x`; a field may hold x, integers, + - * // % and a format such as `02d`."""
    parts = []
    for text, field, spec, conversion in Formatter().parse(template):
        parts.append(text)
        if conversion:
            raise ValueError(f"{template!r}: no conversions in a name template")
        if field is not None:
            parts.append(format(_value(ast.parse(field.strip(), mode="eval").body, x), spec or ""))
    return "".join(parts)


def check(template: str) -> str:
    """A template must give different names for 0 and 1."""
    if fill(template, 0) == fill(template, 1):
        raise ValueError(f"{template!r} gives one name to every label")
    return template


def _value(node: ast.expr, x: int) -> int:
    match node:
        case ast.Name(id="x"):
            return x
        case ast.Constant(value=int(number)):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, x)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_value(left, x), _value(right, x))
    raise ValueError(f"not allowed in a name template: {ast.unparse(node)}")
