"""How every report looks: colours, marks, words and numbers, the same on screen and on paper."""

import math
import re
import unicodedata
from collections.abc import Sequence

from echoic.core.records import Horizon, Regime, ReportRecord

# Okabe and Ito (2008): eight colours that stay apart for colour-blind readers. The order is ours:
# the strongest contrast to white first, and to black for the dark page.
OKABE_ITO = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky blue": "#56B4E9",
    "bluish green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "reddish purple": "#CC79A7",
}
ON_LIGHT = tuple(
    OKABE_ITO[name]
    for name in ("blue", "vermilion", "bluish green", "reddish purple", "orange", "sky blue")
)
ON_DARK = tuple(
    OKABE_ITO[name]
    for name in ("sky blue", "vermilion", "bluish green", "reddish purple", "orange", "yellow")
)
GREY_ON_LIGHT, GREY_ON_DARK = "#B4B4B4", "#5C5C5C"
# From near to far, towards the palette's blues; black or white lines stay legible on all of them.
FILL_ON_LIGHT = ("#F4F9FC", "#B9DAED", "#56A5D3")
FILL_ON_DARK = ("#16222B", "#1D4A66", "#2F7FB0")

# Geometric shapes, which no system turns into emoji as it does with arrows.
MARKS: dict[Regime, str] = {"fading": "▼", "edge": "◆", "rugged": "▲"}
ASCII_MARKS: dict[Regime, str] = {"fading": "v", "edge": "=", "rugged": "^"}

UNKNOWN = "n/a"


def foremost(record: ReportRecord, most: int = 5) -> tuple[int, ...]:
    """Which networks are drawn in colour: all of a few, else the best three and the worst."""
    count = len(record.networks)
    return tuple(range(count)) if count <= most else (0, 1, 2, count - 1)


def printable(text: str) -> str:
    """``text`` without control codes and invisible marks that could rewrite a terminal or a line.

    ??? example
        >>> printable("a" + chr(27) + "[31mb") == "a" + chr(0xFFFD) + "[31mb"
        True
    """
    return "".join(
        "\ufffd" if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") else letter
        for letter in str(text).replace("\n", " ").replace("\t", " ")
    )


def unbroken(text: str) -> str:
    """``text`` with its percentages kept on one line."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def source_text(source: str) -> str:
    """Where the data came from: a file that comes with echoic by its name, others as given.

    ??? example
        >>> source_text("/usr/lib/python3/echoic/data/files/ecg.npz"), source_text("my/ecg.csv")
        ('ecg.npz, bundled with echoic', 'my/ecg.csv')
    """
    parts = re.split(r"[/\\]", source)
    bundled = parts[-4:-1] == ["echoic", "data", "files"]
    return f"{parts[-1]}, bundled with echoic" if bundled else source


def shortened(text: str, most: int) -> str:
    """``text``, or its beginning with an ellipsis, within ``most`` letters."""
    text = printable(text)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def shortened_apart(texts: Sequence[str], most: int) -> list[str]:
    """The texts within ``most`` letters; those that would look alike keep their ends as well.

    ??? example
        >>> shortened_apart(["network, layer 0, forward", "network, layer 0, backward", "GRU"], 16)
        ['network…forward', 'network…backward', 'GRU']
    """
    short = [shortened(text, most) for text in texts]
    alike = {one for one in short if short.count(one) > 1}
    for i, text in enumerate(texts):
        whole = printable(text)
        if short[i] in alike and len(whole) > most:
            tail = _last_words(whole, most)
            short[i] = whole[: most - 1 - len(tail)].rstrip(" ,") + "…" + tail
    return short


def plainly(text: str, plain: bool) -> str:
    """A shortened text with an ellipsis that every terminal has, if ``plain``."""
    return text.replace("…", "~") if plain else text


def _last_words(text: str, most: int) -> str:
    """Whole words from the end of a text, about half of ``most`` letters."""
    *_, last = text.split(" ")
    if most // 2 <= len(last) <= most - 4:
        return last
    half = text[-(most // 2) :]
    return half.partition(" ")[2] or half


def horizon_text(horizon: Horizon | None) -> str:
    """A horizon in words: ``31``, ``>= 2000`` where it has not fallen, ``grows``, ``none``.

    ``~ 31`` where the errors of its curve are not known.
    """
    if horizon is None:
        return UNKNOWN
    if horizon.growing:
        return "grows"
    if horizon.censored:
        return f">= {horizon.last}"
    if horizon.last < 0:
        return "none"
    return str(horizon.last) if horizon.error_known else f"~ {horizon.last}"


def with_error(value: float, error: float, most: int = 3) -> tuple[str, str]:
    """A value and its standard error as texts, with no more digits than the error warrants.

    The error keeps one digit, two when the first is a 1; the value ends where the error ends. An
    unknown error (NaN) gives ``most`` significant digits and no error text, an exact value (error
    zero) ``most`` digits as well.

    ??? example
        >>> with_error(-0.012345, 0.00042)
        ('-0.0123', '0.0004')
        >>> with_error(float("-inf"), 0.0), with_error(-0.01, 0.3)
        (('-inf', ''), ('0.0', '0.3'))
    """
    if math.isnan(value):
        return UNKNOWN, ""
    if math.isinf(value):
        return ("inf" if value > 0 else "-inf"), ""
    # What is exact but for rounding needs no error.
    if not (math.isfinite(error) and error > 1e-9 * abs(value)):
        return significant(value, most), ""
    decimals = _decimals(error)
    if decimals > 6:
        return significant(value, most), f"{error:.0e}"
    if decimals < 0:
        return f"{round(value, decimals):z.0f}", f"{round(error, decimals):.0f}"
    return f"{value:z.{decimals}f}", f"{error:.{decimals}f}"


def warranted(value: float, error: float, most: int = 2) -> str:
    """``value`` alone with at most ``most`` significant digits, fewer if the error asks for it.

    ??? example
        >>> warranted(0.3712, 0.02), warranted(3.2e-12, float("nan")), warranted(0.4, 0.2)
        ('0.37', '3e-12', '0.4')
    """
    if not math.isfinite(value) or not (math.isfinite(error) and error > 0):
        return significant(value, most)
    allowed = max(0, _decimals(error))
    if 0 < abs(value) < 1e-3 and (error < abs(value) or allowed > 5):
        return significant(value, most)
    wanted = max(0, most - 1 - math.floor(math.log10(abs(value)))) if value else allowed
    return f"{value:.{min(allowed, wanted)}f}" if abs(value) < 1e6 else significant(value, most)


def significant(value: float, digits: int = 2) -> str:
    """``value`` with that many significant digits; one and a power of ten where it is extreme."""
    if math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e6:
        return f"{value:.0e}"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def _decimals(error: float) -> int:
    exponent = math.floor(math.log10(error))
    leading = round(error / 10.0**exponent, 6)
    return -exponent + (1 if leading < 1.95 else 0)


def aligned(texts: list[str], pad: str = " ", point: str | None = None) -> list[str]:
    """The texts padded on the right so that, set flush right, their decimal points stand in line.

    ``pad`` is as wide as a digit and ``point`` as wide as a full stop (the same as ``pad`` unless
    given), so that it works in type as well as in a terminal. Powers of ten and words stay flush
    right; a star hangs behind the numbers.

    ??? example
        >>> aligned(["0.37", "12", "1.5", "3e-12", "n/a"])
        ['0.37', '12   ', '1.5 ', '3e-12', 'n/a']
    """
    point = pad if point is None else point
    bare = [text.removesuffix("*") for text in texts]
    longest = max((len(text.partition(".")[2]) for text in bare if is_decimal(text)), default=0)
    starred = any(text.endswith("*") for text in texts)
    return [
        text
        + (_missing(text, longest, pad, point) if is_decimal(text) else "")
        + (("*" if whole.endswith("*") else pad) if starred else "")
        for text, whole in zip(bare, texts, strict=True)
    ]


def is_decimal(text: str) -> bool:
    """Whether a text is a number written out, not a word or a power of ten."""
    return text.lstrip("-").replace(".", "", 1).isdigit()


def _missing(text: str, longest: int, pad: str, point: str) -> str:
    _, dot, tail = text.partition(".")
    return pad * (longest - len(tail)) if dot or not longest else point + pad * longest


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def typographic(number: str) -> str:
    """A number from this module as type sets it: a true minus, ≥, ∞ and powers of ten.

    ??? example
        >>> typographic(">= 2000"), typographic("-3e-12"), typographic("-inf")
        ('≥ 2000', '−3 × 10⁻¹²', '−∞')
    """
    mantissa, letter, exponent = number.partition("e")
    if letter and mantissa.lstrip("-").replace(".", "").isdigit():
        number = f"{mantissa} × 10{str(int(exponent)).translate(_RAISED)}"
    return number.replace("-", "−").replace(">=", "≥").replace("inf", "∞")


_LOWERED = str.maketrans("0123456789-kt", "₀₁₂₃₄₅₆₇₈₉₋ₖₜ")


def mathematical(text: str) -> str:
    """A definition as type sets it, from the plain letters of the records.

    ??? example
        >>> mathematical("dh_t/dh_{t-k}, sqrt(rho_k / rho_0), exp(lambda_1 k)")
        '∂hₜ/∂hₜ₋ₖ, sqrt(ρₖ / ρ₀), exp(λ₁ k)'
    """
    text = re.sub(r"_\{([-\dkt]+)\}|_([\dkt])\b", _lower, text)
    text = re.sub(r"\bd(?=[hx][ₜₖ])", "∂", text)
    return re.sub(r"\blambda", "λ", re.sub(r"\brho(?=[ₜₖ₀])", "ρ", text)).replace(">=", "≥")


def _lower(found: re.Match[str]) -> str:
    return (found[1] or found[2]).translate(_LOWERED)
