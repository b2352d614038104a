"""Arithmetic from text: parsed, never executed, and bounded, so that no expression keeps a core busy."""

import ast
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

Number = int | float

_MAX_LENGTH = 300
# Bits of a whole number: three hundred digits.
_MAX_BITS = 1000
_MAX_FACTORIAL = 170
_MAX_DIGITS = 15
# As people write it.
_SIGNS = str.maketrans(
    {"×": "*", "·": "*", "÷": "/", "（": "(", "）": ")", "，": ",", "－": "-", "＋": "+", "^": "**"}
)
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Number]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_CONSTANTS = {"pi": math.pi, "e": math.e}
_FUNCTIONS: dict[str, Callable[..., Number]] = {
    "abs": abs,
    "round": lambda number, digits=0: _round(number, digits),
    "min": min,
    "max": max,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "floor": math.floor,
    "ceil": math.ceil,
    "gcd": math.gcd,
}


class CalculationError(ValueError):
    """It cannot be calculated; the message says why, for a model to try again."""


def calculate(expression: str) -> str:
    """The value of an expression with + - * / // % ** and some functions. Raises CalculationError."""
    if len(expression) > _MAX_LENGTH:
        raise CalculationError(f"longer than {_MAX_LENGTH} characters")
    try:
        tree = ast.parse(expression.translate(_SIGNS).strip(), mode="eval")
        value = _value(tree.body)
    except CalculationError:
        raise
    except ZeroDivisionError:
        raise CalculationError("division by zero") from None
    except (SyntaxError, MemoryError, RecursionError):
        raise CalculationError("not an arithmetic expression") from None
    except (ArithmeticError, ValueError, TypeError) as error:
        raise CalculationError(str(error)) from None
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=bool()):
            raise CalculationError("only numbers")
        case ast.Constant(value=int() | float() as number):
            return _bounded(number)
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=sign) if type(sign) in _UNARY:
            return _UNARY[type(sign)](_value(node.operand))
        case ast.BinOp(op=ast.Pow()):
            return _power(_value(node.left), _value(node.right))
        case ast.BinOp(op=sign) if type(sign) in _BINARY:
            return _bounded(_BINARY[type(sign)](_value(node.left), _value(node.right)))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _call(name, [_value(argument) for argument in arguments])
    raise CalculationError("only numbers, + - * / // % **, brackets and functions: " + ", ".join(_FUNCTIONS))


def _call(name: str, arguments: Sequence[Number]) -> Number:
    if name == "factorial" and len(arguments) == 1:
        number = arguments[0]
        if not isinstance(number, int) or not 0 <= number <= _MAX_FACTORIAL:
            raise CalculationError(f"factorial takes whole numbers from 0 to {_MAX_FACTORIAL}")
        return _bounded(math.factorial(number), 2 * _MAX_BITS)
    if name not in _FUNCTIONS:
        raise CalculationError(f"no such function: {name[:40]}")
    return _bounded(_FUNCTIONS[name](*arguments))


def _round(number: Number, digits: Number) -> Number:
    if not isinstance(digits, int) or not 0 <= digits <= _MAX_DIGITS:
        raise CalculationError(f"round takes 0 to {_MAX_DIGITS} digits")
    return round(number, digits) if digits else round(number)


def _power(base: Number, exponent: Number) -> Number:
    """Looks at the size first: what would be too large is never computed."""
    if (
        isinstance(base, int)
        and isinstance(exponent, int)
        and base.bit_length() * abs(exponent) > _MAX_BITS
        and abs(base) > 1
    ):
        raise CalculationError("too large")
    value = base**exponent
    if isinstance(value, complex):
        raise CalculationError("not a real number")
    return _bounded(value)


def _bounded(number: Number, bits: int = _MAX_BITS) -> Number:
    if isinstance(number, int):
        if number.bit_length() > bits:
            raise CalculationError("too large")
    elif not math.isfinite(number):
        raise CalculationError("too large, or no number")
    return number
