"""Expressions: read or refused at the place, checked by unit, one form a meaning, exact."""

import re
import time
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rooms.expression.form import PREFIX, Formula, formula, new_formula
from rooms.expression.reading import DEPTH_MAX, NODES_MAX, TEXT_MAX, Misread, read
from rooms.expression.reckoning import Exact, NoValueError, reckon, value_at_scale
from rooms.expression.tree import (
    HOUR_MS,
    MINUTE_MS,
    Arithmetic,
    Both,
    Comparison,
    Either,
    Expression,
    Leaf,
    Look,
    Measure,
    Negation,
    Number,
    Past,
    Series,
    Sign,
    depth_of,
    leaves_of,
    nodes_of,
    text_of,
)
from rooms.expression.units import Unit, unit_of

FORMS = {
    # typed: as it is always written
    "price(sol)/price(eth)": "price(SOL) / price(ETH)",
    "high(SOL,1d)": "high(SOL, 24h)",
    "change(SOL, 60 min) >= 5 %": "change(SOL, 1h) >= 5%",
    "change(mcap(BONK), 90m) < -2.50%": "change(mcap(BONK), 90m) < -2.5%",
    "mcap(BONK) >= 2000M and price(SOL) > $150": "mcap(BONK) >= 2B and price(SOL) > 150",
    "price(SOL) > 150 AND mcap(BONK) >= 2b": "mcap(BONK) >= 2B and price(SOL) > 150",
    "150 < price(SOL)": "price(SOL) > 150",
    "price(SOL) ≥ 0.50": "price(SOL) >= 0.5",
    "not price(SOL) > 150": "price(SOL) <= 150",
    "not (price(SOL) > 150 or not price(ETH) < 9)": "price(ETH) < 9 and price(SOL) <= 150",
    "price(SOL) > 1 or price(SOL) > 1": "price(SOL) > 1",
    "price(SOL) < price(ETH)": "price(ETH) > price(SOL)",
    "price(SOL) - (price(ETH) - price(BTC))": "price(BTC) + price(SOL) - price(ETH)",
    "price(SOL) / (price(ETH) / price(BTC))": "price(SOL) / (price(ETH) / price(BTC))",
    "price(SOL) / price(ETH) * price(BTC)": "price(BTC) / price(ETH) * price(SOL)",
    "95% × high(SOL, 24h) > price(SOL)": "95% * high(SOL, 24h) > price(SOL)",
    "1 - price(SOL) + 2 < 0": "1 - price(SOL) + 2 < 0",
    "(price(SOL) + price(ETH)) / 2": "(price(ETH) + price(SOL)) / 2",
    "97250 <= price(BTC)": "price(BTC) >= 97250",
    "price(A) > 1234567 or price(A) < 1.5M": "price(A) < 1.5M or price(A) > 1234567",
}

MISREAD = """
price(
      ^ The name of a coin is missing here, such as SOL.
price(SOL
         ^ A closing bracket is missing here.
price(SOL))
          ^ No bracket is open that this could close.
price(SOL) > 1 > 2
               ^ Only two sides are compared: join comparisons by and, or.
price(SOL) = 2
           ^ Values are compared by >, >=, < and <=: they seldom meet.
prise(SOL) > 2
^ There is no prise(); there are price, mcap, change, high, low, average.
SOL > 5
^ For the price of a coin write price(SOL).
price SOL
^ Say of what: price(SOL …).
price(SOL/USD)
         ^ All prices are in dollars: write price(SOL).
high(SOL)
     ^ Say how far back, such as high(SOL, 1h).
high(SOL, 10s)
          ^ Look back from 1m to 24h, in whole minutes, such as 15m or 24h.
high(SOL, 25h)
          ^ Look back from 1m to 24h, in whole minutes, such as 15m or 24h.
high(SOL, )
          ^ How far back is missing here, such as 1h.
high(foo(SOL), 1h)
     ^ high() looks back at price(COIN) or mcap(COIN).
price(SOL, 1h)
           ^ price() is now; for the past write change, high, low, average.
price(SOL) > 97,250
               ^ Write a number in one piece: 97250, or 2B for two billion.
price(SOL) > 100 000
                 ^ Write a number in one piece: 97250, or 2B for two billion.
price(SOL) and
              ^ A number is missing here, or one of price, mcap, change, high, low, average.
price(SOL) price(ETH)
           ^ This does not go on from here: a sign, and, or; or nothing more.
price(SOL) > 1 orprice(ETH) > 1
               ^ This does not go on from here: a sign, and, or; or nothing more.
not not not not not not not not not not not price(SOL) > 1
^ That is nested more than 12 deep: make it simpler.
price(SOL) > 1234567890123456789
             ^ A number has at most 18 digits.
change(SOL, 1h) > 5K%
                  ^ A percentage is a plain number, such as 5%.
price(SOL) + mcap(BONK) > 5
           ^ A price cannot be added to a market cap.
price(SOL) + 5% > 5
           ^ A price cannot be added to a percentage. For 5% more, multiply by 105%.
change(SOL, 1h) + 5 > 5%
                ^ A percentage cannot be added to a bare number. Write it with %.
price(SOL) * price(ETH)
           ^ A price times a price means nothing here.
mcap(BONK) / price(BONK)
           ^ A market cap cannot be divided by a price.
price(SOL) > mcap(BONK)
           ^ A price cannot be compared with a market cap.
change(SOL, 1h) > 5
                ^ A percentage is compared with a percentage, such as 5%.
price(SOL) > 5%
           ^ A percentage is compared only with a percentage.
2 + 2 > price(SOL)
  ^ Both sides are plain numbers: write the result.
2 > 1 and price(SOL) > 1
  ^ Both sides are plain numbers: there is nothing to wait for.
price(SOL) >= price(SOL)
           ^ Both sides are the same: there is nothing to wait for.
price(SOL) > 1 and price(ETH)
                   ^ This is a price, not a condition: compare it with something.
(price(SOL) > 1) + 1
            ^ A condition is true or false: it cannot be reckoned with.
change(SOL, 1h)
^ A percentage alone is no feed: compare it, such as change(SOL, 1h) >= 5%.
42
^ There is no feed in this: name one, such as price(SOL).
price(A)+price(B)+price(C)+price(D)+price(E)+price(F)
^ At most 5 feeds go into one expression.
"""


def cases(text: str) -> list[tuple[str, int, str]]:
    lines = text.strip("\n").splitlines()
    return [
        (typed, pointed.index("^"), pointed.partition("^")[2].strip())
        for typed, pointed in zip(lines[::2], lines[1::2], strict=True)
    ]


@pytest.mark.parametrize(("typed", "form"), FORMS.items())
def test_what_is_typed_is_written_in_one_form(typed: str, form: str) -> None:
    assert formula(typed).text == form
    assert formula(form).text == form
    assert formula(form).name == formula(typed).name


@pytest.mark.parametrize(("typed", "at", "sentence"), cases(MISREAD))
def test_what_means_nothing_is_refused_at_its_place(typed: str, at: int, sentence: str) -> None:
    with pytest.raises(Misread) as raised:
        formula(typed)
    assert (raised.value.at, raised.value.sentence) == (at, sentence)
    assert raised.value.pointed() == f"{typed}\n{' ' * at}^"


@pytest.mark.parametrize(
    ("typed", "at"),
    [
        ("price(SOL)/0", 11),
        ("price(SOL) / 0.00 > 1", 13),
    ],
)
def test_nothing_new_is_divided_by_0(typed: str, at: int) -> None:
    with pytest.raises(Misread) as raised:
        new_formula(typed)
    assert (raised.value.at, raised.value.sentence) == (at, "Nothing can be divided by 0.")
    assert new_formula("price(SOL) / 2").text


@pytest.mark.parametrize(
    ("typed", "unit"),
    [
        ("price(SOL)", Unit.PRICE),
        ("average(SOL, 1h) - 3", Unit.PRICE),
        ("price(SOL) * price(ETH) / price(BTC)", None),
        ("price(SOL) / price(BTC) * price(ETH)", Unit.PRICE),
        ("105% * mcap(BONK)", Unit.MARKET_CAP),
        ("mcap(BONK) / mcap(WIF)", Unit.RATIO),
        ("mcap(BONK) / mcap(WIF) + 1", Unit.RATIO),
        ("change(SOL, 1h) / change(ETH, 1h)", Unit.RATIO),
        ("change(SOL, 1h) - change(ETH, 1h)", Unit.PERCENT),
        ("change(SOL, 1h) > change(ETH, 1h)", Unit.TRUTH),
        ("1 / price(SOL)", None),
    ],
)
def test_units_go_together_or_not(typed: str, unit: Unit | None) -> None:
    if unit is None:
        with pytest.raises(Misread):
            unit_of(read(typed), typed)
    else:
        assert unit_of(read(typed), typed) is unit


def known(tree: Expression, **values: str) -> dict[Leaf, Exact]:
    """Give each leaf the value of its coin."""
    found: dict[Leaf, Exact] = {}
    for leaf in leaves_of(tree):
        coin = leaf.coin if isinstance(leaf, Series) else leaf.series.coin
        exact = Fraction(values[coin])
        found[leaf] = Exact(exact.numerator, exact.denominator)
    return found


@pytest.mark.parametrize(
    ("typed", "values", "scale", "value"),
    [
        ("price(A) / price(B)", {"A": "150", "B": "3000"}, 9, 50_000_000),
        ("price(A) / price(B)", {"A": "1", "B": "3"}, 9, 333_333_333),
        ("price(A) / price(B)", {"A": "2", "B": "3"}, 0, 0),
        ("price(A) / price(B) * 3", {"A": "1", "B": "3"}, 0, 1),
        ("price(A) - price(B)", {"A": "1", "B": "3"}, 2, None),
        ("price(A) / price(B)", {"A": "1e18", "B": "1e-8"}, 9, None),
        ("105% * price(A)", {"A": "200"}, 2, 21_000),
        ("price(A) > 2B", {"A": "2000000000.00000001"}, 0, 1),
        ("price(A) > 2B", {"A": "2000000000"}, 0, 0),
        ("price(A) >= 2B", {"A": "2000000000"}, 0, 1),
        ("price(A) < -1", {"A": "-2"}, 0, 1),
        ("change(A, 1h) <= -5%", {"A": "-1/20"}, 0, 1),
        ("price(A) / price(B) < -1", {"A": "2", "B": "-1"}, 0, 1),
        ("price(A) > 1 and price(B) > 1", {"A": "2", "B": "1"}, 0, 0),
        ("price(A) > 1 or price(B) > 1", {"A": "2", "B": "1"}, 0, 1),
        ("not (price(A) > 1 or price(B) > 1)", {"A": "2", "B": "1"}, 0, 0),
    ],
)
def test_values_are_exact_and_rounded_down_once(
    typed: str, values: dict[str, str], scale: int, value: int | None
) -> None:
    tree = read(typed)
    assert value_at_scale(reckon(tree, known(tree, **values)), scale) == value


def test_what_is_divided_by_nothing_has_no_value_wherever_it_stands() -> None:
    tree = read("price(B) > 1 or price(A) / (price(B) - price(B) / 1) > 1")
    with pytest.raises(NoValueError):
        reckon(tree, known(tree, A="1", B="5"))


# Laws ---------------------------------------------------------------------------------------------

COINS = st.sampled_from(["A", "B", "C"])
SPANS = st.integers(1, 24 * 60).map(lambda minutes: minutes * MINUTE_MS)
PLAIN = st.integers(-(10**12), 10**12).filter(lambda whole: whole % 10 != 0)
NUMBERS = st.builds(Number, PLAIN, st.integers(0, 5)) | st.builds(
    Number, st.integers(-(10**9), 10**9)
)
PERCENTS = st.builds(Number, PLAIN, st.integers(0, 3), st.just(True))
PRICES = st.builds(Series, st.just(Measure.PRICE), COINS)
LOOKS = st.sampled_from([Look.HIGH, Look.LOW, Look.AVERAGE])
CHANGES = st.builds(Past, st.just(Look.CHANGE), PRICES, SPANS)
SUMS, COMPARED = (
    st.sampled_from([Sign.PLUS, Sign.MINUS]),
    st.sampled_from([Sign.ABOVE, Sign.AT_LEAST, Sign.BELOW, Sign.AT_MOST]),
)


def any_tree() -> st.SearchStrategy[Expression]:
    """Give trees of every shape, whether their units go together or not."""
    leaves = NUMBERS | PERCENTS | PRICES | CHANGES

    def grown(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        some = st.lists(inner, min_size=2, max_size=3).map(tuple)
        signs = st.sampled_from([Sign.PLUS, Sign.MINUS, Sign.TIMES, Sign.OVER])
        return (
            st.builds(Arithmetic, signs, inner, inner)
            | st.builds(Comparison, COMPARED, inner, inner)
            | st.builds(Both, some)
            | st.builds(Either, some)
            | st.builds(Negation, inner)
        )

    return st.recursive(leaves, grown, max_leaves=8)


def makes_sense() -> st.SearchStrategy[Expression]:
    """Give conditions and values whose units go together."""
    prices: st.SearchStrategy[Expression] = st.recursive(
        PRICES | st.builds(Past, LOOKS, PRICES, SPANS),
        lambda inner: (
            st.builds(Arithmetic, SUMS, inner, inner)
            | st.builds(Arithmetic, SUMS, inner, NUMBERS)
            | st.builds(Arithmetic, st.just(Sign.TIMES), PERCENTS, inner)
            | st.builds(
                Arithmetic,
                st.just(Sign.TIMES),
                inner,
                st.builds(Arithmetic, st.just(Sign.OVER), inner, inner),
            )
        ),
        max_leaves=4,
    )
    changes = CHANGES | st.builds(Arithmetic, SUMS, CHANGES, PERCENTS)
    compared = st.builds(Comparison, COMPARED, prices, prices | NUMBERS) | st.builds(
        Comparison, COMPARED, changes | PERCENTS, changes
    )
    conditions: st.SearchStrategy[Expression] = st.recursive(
        compared,
        lambda inner: (
            st.builds(Negation, inner)
            | st.builds(Both, st.lists(inner, min_size=2, max_size=3).map(tuple))
            | st.builds(Either, st.lists(inner, min_size=2, max_size=3).map(tuple))
        ),
        max_leaves=4,
    )
    return prices | conditions


def formula_or_none(text: str) -> Formula | None:
    try:
        return formula(text)
    except Misread:
        return None


@given(any_tree())
@settings(deadline=None)
def test_what_is_written_is_read_again(tree: Expression) -> None:
    text = text_of(tree)
    is_small = (
        len(text) <= TEXT_MAX
        and sum(1 for _ in nodes_of(tree)) <= NODES_MAX
        and depth_of(tree) <= DEPTH_MAX
    )
    if is_small:
        assert read(text) == tree
    else:
        with pytest.raises(Misread):
            read(text)


VALUES = st.fixed_dictionaries(
    {coin: st.integers(0, 4).map(str) | st.fractions(0, 9).map(str) for coin in "ABC"}
)


@given(makes_sense(), VALUES)
@settings(max_examples=200, deadline=None)
def test_the_form_means_the_same_and_is_its_own_form(
    tree: Expression, values: dict[str, str]
) -> None:
    found = formula_or_none(text_of(tree))
    if found is None:
        return
    assert formula(found.text) == found
    assert read(found.text) == found.tree

    def outcome(each: Expression) -> Fraction | None:
        try:
            exact = reckon(each, known(each, **values))
        except NoValueError:
            return None
        return Fraction(exact.whole, exact.over)

    assert outcome(found.tree) == outcome(tree)


@given(
    st.lists(makes_sense(), min_size=2, max_size=3),
    st.sampled_from([" and ", " or ", " + ", " * "]),
)
@settings(deadline=None)
def test_order_makes_no_other_feed(trees: list[Expression], word: str) -> None:
    texts = [f"({text_of(tree)})" for tree in trees]
    names = {
        found and found.name
        for order in permutations(texts)
        if (found := formula_or_none(word.join(order))) or True
    }
    assert len(names) == 1


@given(makes_sense())
@settings(deadline=None)
def test_blanks_and_letters_make_no_other_feed(tree: Expression) -> None:
    text = text_of(tree)
    found = formula_or_none(text)
    spread = re.sub(r"([(),])", r"  \1  ", text)
    for other in (f"({text})", spread, text.lower()):
        again = formula_or_none(other)
        if found is not None and len(" ".join(other.split())) <= TEXT_MAX:
            assert again is not None
            assert again.name == found.name


def test_another_number_is_another_feed() -> None:
    names = {
        formula(text).name
        for text in ("price(A) > 1", "price(A) >= 1", "price(A) > 1.1", "price(B) > 1")
    }
    assert len(names) == 4
    assert all(re.fullmatch(r"expr:[0-9a-f]{32}", name) for name in names)
    assert all(name.startswith(PREFIX) for name in names)


def test_the_name_of_a_form_never_changes() -> None:
    assert formula("price(SOL) / price(ETH)").name == "expr:e33b0bbe4a17f012237e13551d1e9fa6"


# Fuzz ---------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        "price", "mcap", "change", "high", "(", ")", ",", "SOL", "1h", "24h", "5", "5%", "2B", "-",
        "+", "*", "/", ">", ">=", "<", "and", "or", "not", " ", "price(SOL)", "0", "0.0", "$", "=",
    ]
)  # fmt: skip


@given(st.text(max_size=300) | st.lists(WORDS, max_size=60).map("".join))
@settings(max_examples=500, deadline=None)
def test_any_text_is_an_expression_or_refused_at_a_place(text: str) -> None:
    began = time.perf_counter()
    try:
        found = formula(text)
    except Misread as misread:
        assert 0 <= misread.at <= len(misread.text) <= TEXT_MAX
        assert misread.sentence
    else:
        assert formula(found.text) == found
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "not " * 50 + "price(A)>1",
        "1-" * 99 + "price(A)",
        "price(A)" + "+price(A)" * 20,
        "9" * 200,
        "price(" + "A" * 190 + ")",
        "\0", "😀", "price(SOL)\n>\t1 ; DROP", "a" * 10**6,
    ],
)  # fmt: skip
def test_what_is_too_large_is_refused_at_once(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(Misread):
        formula(text)
    assert time.perf_counter() - began < 10


def test_the_longest_look_is_a_day() -> None:
    tree = read("high(SOL, 24h)")
    assert isinstance(tree, Past)
    assert tree.span_ms == 24 * HOUR_MS
