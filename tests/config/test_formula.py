from __future__ import annotations

import operator
from contextlib import suppress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flyem_snapshot.config.formula import Formula, NameTemplate, check_roi_name

ALLOWED = "allowed are whole numbers, x, + - * // %, comparisons, 'a if b else c', abs(), min(), max() and parentheses"
X = 1203


def binary(name, function):
    return lambda a, b: (f"({a[0]} {name} {b[0]})", lambda x: function(a[1](x), b[1](x)))


BINARY = [
    binary(name, function)
    for name, function in {
        "+": operator.add,
        "-": operator.sub,
        "*": operator.mul,
        "//": operator.floordiv,
        "%": operator.mod,
        "<": lambda a, b: int(a < b),
        "<=": lambda a, b: int(a <= b),
        ">": lambda a, b: int(a > b),
        ">=": lambda a, b: int(a >= b),
        "==": lambda a, b: int(a == b),
        "!=": lambda a, b: int(a != b),
    }.items()
]


def deeper(inner):
    """Expressions made of smaller ones, as (text, the function that Python's own operators make of it)."""
    return st.one_of(
        st.builds(lambda make, a, b: make(a, b), st.sampled_from(BINARY), inner, inner),
        st.builds(lambda a: (f"-{a[0]}", lambda x: -a[1](x)), inner),
        st.builds(lambda a: (f"abs({a[0]})", lambda x: abs(a[1](x))), inner),
        st.builds(lambda a, b: (f"min({a[0]}, {b[0]})", lambda x: min(a[1](x), b[1](x))), inner, inner),
        st.builds(
            lambda a, b, c: (f"max({a[0]}, {b[0]}, {c[0]})", lambda x: max(a[1](x), b[1](x), c[1](x))),
            inner,
            inner,
            inner,
        ),
        st.builds(
            lambda a, b, c: (
                f"({a[0]} if {b[0]} else {c[0]})",
                lambda x: a[1](x) if b[1](x) else c[1](x),
            ),
            inner,
            inner,
            inner,
        ),
    )


expressions = st.recursive(
    st.one_of(
        st.just(("x", lambda x: x)),
        st.integers(0, 2**63 - 1).map(lambda number: (str(number), lambda x: number)),
        st.integers(0, 20).map(lambda number: (str(number), lambda x: number)),
    ),
    deeper,
    max_leaves=8,
)


@given(expressions, st.integers(-(2**40), 2**40))
def test_a_formula_computes_what_pythons_operators_compute(expression, x):
    text, compute = expression
    assume(len(text) <= 500)
    formula = Formula(text)
    try:
        expected = compute(x)
    except ZeroDivisionError:
        with pytest.raises(ValueError, match="divides by zero"):
            formula(x)
    else:
        assert formula(x) == expected
        assert type(formula(x)) is int


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x", 1203),
        (" x // 100 ", 12),
        ("x % 100 + 1", 4),
        ("-x // 7", -172),
        ("2 - 3 - 4", -5),
        ("2 + 3 * 4", 14),
        ("x > 5", 1),
        ("0 < x < 5", 0),
        ("1 if x == 1203 else 2", 1),
        ("min(x, 7, 9) * abs(-2)", 14),
        ("1_000", 1000),
    ],
)
def test_a_formula_follows_the_usual_order_of_operations(text, expected):
    assert Formula(text)(X) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the formula is empty"),
        ("1if x else 2", f"'1if x else 2', column 2: not a formula; {ALLOWED}"),
        ("0x1F", f"'0x1F', column 2: not a formula; {ALLOWED}"),
        ("9 ** 9", f"'9 ** 9', column 1: '9 ** 9' is not allowed; {ALLOWED}"),
        ("1 + y", f"'1 + y', column 5: 'y' is not allowed; {ALLOWED}"),
        ("ä + y", f"'ä + y', column 1: 'ä' is not allowed; {ALLOWED}"),
        ("x + ä", f"'x + ä', column 5: 'ä' is not allowed; {ALLOWED}"),
        ("x / 2", f"'x / 2', column 1: 'x / 2' is not allowed; {ALLOWED}"),
        ("1.5", f"'1.5', column 1: '1.5' is not allowed; {ALLOWED}"),
        ("True", f"'True', column 1: 'True' is not allowed; {ALLOWED}"),
        ("x.real", f"'x.real', column 1: 'x.real' is not allowed; {ALLOWED}"),
        ("x << 2", f"'x << 2', column 1: 'x << 2' is not allowed; {ALLOWED}"),
        ("x in 5", f"'x in 5', column 1: 'x in 5' is not allowed; {ALLOWED}"),
        ("[x][0]", f"'[x][0]', column 1: '[x][0]' is not allowed; {ALLOWED}"),
        ("pow(x, 9)", f"'pow(x, 9)', column 1: 'pow(x, 9)' is not allowed; {ALLOWED}"),
        ("abs(x, 1)", "'abs(x, 1)', column 1: abs() takes one value"),
        ("2 + max(x)", "'2 + max(x)', column 5: max() takes two or more values"),
        ("min(x, key=x)", f"'min(x, key=x)', column 1: 'min(x, key=x)' is not allowed; {ALLOWED}"),
        (
            "9223372036854775808",
            "'9223372036854775808', column 1: the number is larger than 9223372036854775807",
        ),
        ("x" * 501, "the formula is longer than 500 characters"),
        ("-" * 60 + "x", f"'{'-' * 60}x', column 51: it is nested too deeply"),
    ],
)
def test_anything_else_is_refused_with_its_place(text, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        Formula(text)

    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["x +", "x; x", "x)", "(x", "5 5", "x\0", "lambda"])
def test_what_python_cannot_parse_is_no_formula(text):
    # The column is Python's, and differs between its versions.
    with pytest.raises(ValueError, match=r"column [0-9]+: not a formula; allowed are whole numbers") as caught:
        Formula(text)

    assert str(caught.value).startswith(f"'{text}', column ")


@given(st.text(max_size=60))
def test_any_text_is_a_formula_or_a_value_error(text):
    with suppress(ValueError):
        Formula(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ME_R_col_{x // 100}_{x % 100}", "ME_R_col_12_3"),
        ("{x:06d}", "001203"),
        ("{x:6}", "  1203"),
        ("layer {x % 100:02}", "layer 03"),
        ("{{{x}}}", "{1203}"),
        ("{x}}}{{", "1203}{"),
    ],
)
def test_a_name_template_fills_its_fields(text, expected):
    assert NameTemplate(text)(X) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ME(R)", "'ME(R)' names labels 0 and 1 alike, 'ME(R)': write {x} where the label goes"),
        ("{{x}}", "'{{x}}' names labels 0 and 1 alike, '{x}': write {x} where the label goes"),
        ("a{x", "'a{x', column 2: a brace without its partner"),
        ("ax}", "'ax}', column 3: a brace without its partner"),
        ("a{}", "'a{}', field at column 3: the formula is empty"),
        ("a{y}", f"'a{{y}}', field at column 3: 'y', column 1: 'y' is not allowed; {ALLOWED}"),
        ("a{x!r}", f"'a{{x!r}}', field at column 3: 'x!r', column 2: not a formula; {ALLOWED}"),
        ("a{x:>9}", "'a{x:>9}', field at column 3: '>9' is not an integer format; write for example {x:02d}"),
        ("a{x:9999d}", "'a{x:9999d}', field at column 3: '9999d' is not an integer format; write for example {x:02d}"),
        ("a{9 // x}", "'9 // x' divides by zero at x = 0"),
    ],
)
def test_a_bad_name_template_is_refused_with_its_place(text, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        NameTemplate(text)

    assert str(caught.value) == message


@given(st.text(alphabet="{}x:%/+ 0123d", max_size=20))
def test_any_text_is_a_name_template_or_a_value_error(text):
    with suppress(ValueError):
        NameTemplate(text)


@pytest.mark.parametrize("name", ["ME(R)", "a'L(R)", "<unspecified>", "MBON-ß", "fan shaped body", "NO"])
def test_names_of_the_field_are_usable(name):
    check_roi_name(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a`b", "the ROI name 'a`b' contains a back-tick"),
        ("a:b", "the ROI name 'a:b' contains a colon"),
        ('a"b', "the ROI name 'a\"b' contains a double quote"),
        ("a;b", "the ROI name 'a;b' contains a semicolon"),
        ("a\nb", "the ROI name 'a\\nb' contains a line break or another invisible character"),
        (" ", "an ROI name may not be empty"),
    ],
)
def test_names_that_databases_cannot_hold_are_refused(name, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        check_roi_name(name)

    assert str(caught.value) == message
