"""Names and numbers made from a number `x`, by a small arithmetic grammar; nothing is ever executed.

    Formula("x // 100 + 1")(1203)                             13
    NameTemplate("ME_R_col_{x // 100:02d}_{x % 100}")(1203)   'ME_R_col_12_3'

Every mistake is a ValueError that says where in the text it is (columns count from 1).
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable

MAX_LENGTH = 500
MAX_DEPTH = 50
MAX_LITERAL = 2**63 - 1

Compute = Callable[[int], int]

_ARITHMETIC: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[int, int], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS: dict[str, Callable[..., int]] = {"abs": abs, "min": min, "max": max}
_ALLOWED = "allowed are whole numbers, x, + - * // %, comparisons, 'a if b else c', abs(), min(), max() and parentheses"
# Python warns of `1if x else 2` and reads 0x1F; neither is meant in a formula.
_GLUED = re.compile(r"(?<![A-Za-z_0-9])[0-9][0-9_]*[A-Za-z]")
_FORMAT = re.compile(r"0?[0-9]{0,2}d?")
_FORBIDDEN_IN_NAMES = {
    "`": "a back-tick",
    ":": "a colon",
    '"': "a double quote",
    ";": "a semicolon",
    "{": "a brace",  # the importer of neo4j takes braces in a column's name for its own
    "}": "a brace",
}


class Formula:
    """An integer computed from an integer `x`; comparisons count as 1 (true) and 0 (false).

    The text is short, its numbers fit in 64 bits and there are no powers, so no result can grow large.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > MAX_LENGTH:
            raise ValueError(f"the formula is longer than {MAX_LENGTH} characters")
        if not text.strip():
            raise ValueError("the formula is empty")
        if glued := _GLUED.search(text):
            raise self._syntax_fault(glued.end())
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except SyntaxError as error:
            raise self._syntax_fault(error.offset or len(text)) from error
        self._compute = self._compiled(tree.body, MAX_DEPTH)

    def __call__(self, x: int) -> int:
        """The value at `x`; ValueError if it divides by zero there."""
        try:
            return self._compute(x)
        except ZeroDivisionError as error:
            raise ValueError(f"'{self.text}' divides by zero at x = {x}") from error

    def __repr__(self) -> str:
        return f"Formula({self.text!r})"

    def _compiled(self, node: ast.expr, depth: int) -> Compute:
        """A function that computes one node of the syntax tree, made of those of its parts."""
        if depth == 0:
            raise self._fault(node, "it is nested too deeply")
        match node:
            case ast.Name(id="x"):
                return lambda x: x
            case ast.Constant(value=int(number)) if not isinstance(number, bool):
                if number > MAX_LITERAL:
                    raise self._fault(node, f"the number is larger than {MAX_LITERAL}")
                return lambda x: number
        return self._operation(node, depth)

    def _operation(self, node: ast.expr, depth: int) -> Compute:
        """As `_compiled`, for a node that has parts."""
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value = self._compiled(operand, depth - 1)
                return lambda x: -value(x)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                apply, a, b = _ARITHMETIC[type(op)], self._compiled(left, depth - 1), self._compiled(right, depth - 1)
                return lambda x: apply(a(x), b(x))
            case ast.Compare():
                return self._comparison(node, depth)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                condition, yes, no = (self._compiled(part, depth - 1) for part in (test, body, orelse))
                return lambda x: yes(x) if condition(x) else no(x)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
                return self._call(node, name, args, depth)
        raise self._fault(node, f"'{ast.unparse(node)}' is not allowed; {_ALLOWED}")

    def _comparison(self, node: ast.Compare, depth: int) -> Compute:
        """A chain such as `0 < x <= 5`, which holds if each link does."""
        if not all(type(op) in _COMPARISONS for op in node.ops):
            raise self._fault(node, f"'{ast.unparse(node)}' is not allowed; {_ALLOWED}")
        values = [self._compiled(part, depth - 1) for part in (node.left, *node.comparators)]
        links = list(zip(values, (_COMPARISONS[type(op)] for op in node.ops), values[1:], strict=False))
        return lambda x: int(all(holds(a(x), b(x)) for a, holds, b in links))

    def _call(self, node: ast.Call, name: str, args: list[ast.expr], depth: int) -> Compute:
        """`abs` of one value, `min` or `max` of two or more."""
        if (len(args) == 1) != (name == "abs") or not args:
            raise self._fault(node, f"{name}() takes {'one value' if name == 'abs' else 'two or more values'}")
        function, values = _FUNCTIONS[name], [self._compiled(part, depth - 1) for part in args]
        return lambda x: function(*(value(x) for value in values))

    def _fault(self, node: ast.expr, problem: str) -> ValueError:
        """What is wrong with one part of the formula, with the column where that part begins."""
        before = self.text.strip().encode()[: node.col_offset].decode()
        return ValueError(f"'{self.text}', column {len(before) + 1}: {problem}")

    def _syntax_fault(self, column: int) -> ValueError:
        return ValueError(f"'{self.text}', column {min(column, len(self.text))}: not a formula; {_ALLOWED}")


class NameTemplate:
    """A name computed from an integer `x`: text with fields in braces, such as `ME_R_col_{x // 100}_{x % 100}`.

    A field may end in an integer format (`{x:02d}`); `{{` and `}}` stand for braces.  A template that gives
    the same name to 0 and 1 is refused: it was probably not meant as one.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = tuple(self._parsed())
        if self(0) == self(1):
            raise ValueError(f"'{text}' names labels 0 and 1 alike, '{self(0)}': write {{x}} where the label goes")

    def __call__(self, x: int) -> str:
        """The name of label `x`."""
        return "".join(part if isinstance(part, str) else format(part[0](x), part[1]) for part in self._parts)

    def __repr__(self) -> str:
        return f"NameTemplate({self.text!r})"

    def _parsed(self) -> list[str | tuple[Formula, str]]:
        """Literal texts and (formula, format) pairs, in order."""
        parts: list[str | tuple[Formula, str]] = []
        for match in re.finditer(r"(?P<text>[^{}]+|\{\{|\}\})|\{(?P<field>[^{}]*)\}|(?P<stray>[{}])", self.text):
            if match["stray"]:
                raise ValueError(f"'{self.text}', column {match.start() + 1}: a brace without its partner")
            if match["field"] is None:
                parts.append(match["text"].replace("{{", "{").replace("}}", "}"))
            else:
                parts.append(self._field(match["field"], match.start("field")))
        return parts

    def _field(self, field: str, start: int) -> tuple[Formula, str]:
        """The formula and the format of one field, whose text begins at index `start`."""
        formula, _, spec = field.partition(":")
        where = f"'{self.text}', field at column {start + 1}"
        if not _FORMAT.fullmatch(spec):
            raise ValueError(f"{where}: '{spec}' is not an integer format; write for example {{x:02d}}")
        try:
            return Formula(formula), spec
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error


def check_roi_name(name: str) -> None:
    """Refuse a name that a database could not hold later; raises ValueError that says why.

    ROI names become property names and flags of the neuPrint database, where these characters have a meaning.
    """
    if fault := name_fault(name):
        raise ValueError(f"the ROI name {name!r} {fault}" if name.strip() else "an ROI name may not be empty")


def name_fault(name: str) -> str:
    """Why a database could not hold a property of this name; empty if it can."""
    if not name.strip():
        return "is empty"
    for character in name:
        if character in _FORBIDDEN_IN_NAMES:
            return f"contains {_FORBIDDEN_IN_NAMES[character]}"
        if not character.isprintable():
            return "contains a line break or another invisible character"
    return ""
