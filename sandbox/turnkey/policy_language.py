"""Policy language: reads a Turnkey policy's condition and says whether it is met.

In        the text of a condition or consensus; the facts, as plain dictionaries and lists.
Out       true or false.
Promises  what cannot be read, or names what is not there, is `PolicyError`, never false by chance.
Why       the language is that of docs.turnkey.com: operators, access, and five functions of lists.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from lark import Lark, Token, Tree
from lark.exceptions import LarkError

Facts = Mapping[str, Any]

GRAMMAR: Final = r"""
?start: either
?either: both ("||" both)*
?both: compared ("&&" compared)*
?compared: reached | reached OPERATOR reached
?reached: atom
    | reached "." NAME                         -> field
    | reached "." NAME "(" [either ("," either)*] ")" -> call
    | reached "[" either "]"                   -> item
    | reached "[" either ".." either "]"       -> span
?atom: NAME                                    -> name
    | STRING                                   -> string
    | INT                                      -> number
    | "true"                                   -> yes
    | "false"                                  -> no
    | "[" [either ("," either)*] "]"           -> listed
    | "(" either ")"
OPERATOR: "==" | "!=" | "<=" | ">=" | "<" | ">" | "in"
NAME: /(?!(true|false|in)\b)[a-z_][a-z0-9_]*/i
STRING: /'[^']*'/ | /"[^"]*"/
%import common.INT
%import common.WS
%ignore WS
"""
_PARSER: Final = Lark(GRAMMAR, parser="lalr", maybe_placeholders=True)
# Every request is judged by the same few policies, and reading one takes milliseconds.
_read: Final = lru_cache(maxsize=256)(_PARSER.parse)

_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": lambda left, right: bool(left == right),
    "!=": lambda left, right: bool(left != right),
    "<": lambda left, right: bool(left < right),
    "<=": lambda left, right: bool(left <= right),
    ">": lambda left, right: bool(left > right),
    ">=": lambda left, right: bool(left >= right),
    "in": lambda left, right: left in right,
}


class PolicyError(Exception):
    """A policy that cannot be read, or that speaks of what is not there."""


def holds(text: str, facts: Facts) -> bool:
    """Say whether a condition is met; an empty one always is.

    Raises:
        PolicyError: when it cannot be read, or its value is no truth value.
    """
    if not text.strip():
        return True
    try:
        tree = _read(text)
    except LarkError as error:
        raise PolicyError(str(error).splitlines()[0]) from None
    found = _value(tree, facts)
    if not isinstance(found, bool):
        raise PolicyError("a condition is true or false")
    return found


def _value(tree: Any, facts: Facts) -> Any:  # noqa: ANN401 - of the language's own types
    if not isinstance(tree, Tree):
        raise PolicyError(f"unexpected {tree}")
    parts = tree.children
    match tree.data:
        case "either":
            return any(_truth(each, facts) for each in parts)
        case "both":
            return all(_truth(each, facts) for each in parts)
        case "compared":
            left, operator, right = parts
            return _compared(_value(left, facts), str(operator), _value(right, facts))
        case "field":
            return _field(_value(parts[0], facts), str(parts[1]))
        case "call":
            return _called(_value(parts[0], facts), str(parts[1]), parts[2:], facts)
        case "item":
            return _item(_value(parts[0], facts), _value(parts[1], facts))
        case "span":
            found, first, last = (_value(each, facts) for each in parts)
            return found[first:last]
        case "name":
            return _field(facts, str(parts[0]))
        case "string":
            return str(parts[0])[1:-1]
        case "number":
            return int(str(parts[0]))
        case "listed":
            return [_value(each, facts) for each in parts if each is not None]
        case truth:
            return truth == "yes"


def _truth(tree: Any, facts: Facts) -> bool:  # noqa: ANN401
    found = _value(tree, facts)
    if not isinstance(found, bool):
        raise PolicyError("&& and || join what is true or false")
    return found


def _compared(left: Any, operator: str, right: Any) -> bool:  # noqa: ANN401
    ordered = operator in ("<", "<=", ">", ">=")
    if ordered and not (isinstance(left, int) and isinstance(right, int)):
        raise PolicyError(f"{operator} compares whole numbers")
    if operator in ("==", "!=") and type(left) is not type(right):
        raise PolicyError(f"{operator} compares values of one type")
    return _COMPARE[operator](left, right)


def _field(value: Any, name: str) -> Any:  # noqa: ANN401
    if not isinstance(value, Mapping) or name not in value:
        raise PolicyError(f"there is no {name}")
    return value[name]


def _item(value: Any, place: Any) -> Any:  # noqa: ANN401
    try:
        return value[place]
    except (IndexError, KeyError, TypeError):
        raise PolicyError(f"there is no item {place}") from None


def _called(value: Any, name: str, arguments: list[Any], facts: Facts) -> Any:  # noqa: ANN401
    if not isinstance(value, list):
        raise PolicyError(f"{name} is asked of a list")
    given = [each for each in arguments if each is not None]
    match name, len(given):
        case "count", 0:
            return len(value)
        case "contains", 1:
            return _value(given[0], facts) in value
        case "all" | "any" | "filter", 2:
            each = _variable(given[0])
            met = [item for item in value if _truth(given[1], {**facts, each: item})]
            if name == "filter":
                return met
            return len(met) == len(value) if name == "all" else bool(met)
    raise PolicyError(f"there is no function {name} of {len(given)} arguments")


def _variable(tree: Any) -> str:  # noqa: ANN401
    if isinstance(tree, Tree) and tree.data == "name" and isinstance(tree.children[0], Token):
        return str(tree.children[0])
    raise PolicyError("a function's first argument is the item's name")
