"""Decimal text: digits into whole numbers at a scale and back, exactly.

In        text such as ``"8506.26"`` from a venue, a person or a file.
Out       an int at the scale asked for; text again for eyes.
Promises  no float and no decimal context; what the scale cannot hold exactly is refused.
"""

from rooms.refusal import must

DIGITS_MAX = 40


def whole_from_text(text: str, scale: int) -> int:
    """Read plain non-negative decimal text as a whole number of ``10**-scale``.

    Refuses signs, exponents, blanks, bare points, and digits finer than the scale that are not 0.

    Raises:
        Impossible: with a sentence that quotes the text.
    """
    assert scale >= 0, "a scale counts decimal places"
    must(len(text) <= DIGITS_MAX, f"a number has at most {DIGITS_MAX} digits")
    whole, point, fraction = text.partition(".")
    must(
        bool(whole) and bool(fraction) == bool(point),
        f"{text!r} is not a plain decimal number such as 0.25",
    )
    digits = whole + fraction
    must(
        digits.isascii() and digits.isdigit(),
        f"{text!r} is not a plain decimal number such as 0.25",
    )
    must(not fraction[scale:].strip("0"), f"{text!r} is finer than {scale} decimal places")
    scaled: int = int(whole) * 10**scale
    return scaled + int(fraction[:scale].ljust(scale, "0") or "0")


def text_from_whole(number: int, scale: int) -> str:
    """Write a whole number of ``10**-scale`` as plain decimal text, without trailing zeros."""
    sign = "-" if number < 0 else ""
    whole, fraction = divmod(abs(number), 10**scale)
    places = str(fraction).rjust(scale, "0").rstrip("0") if scale else ""
    return f"{sign}{whole}.{places}" if places else f"{sign}{whole}"
