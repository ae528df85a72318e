"""Resource amounts as the API writes them: `500m`, `1Gi`, `2e3`.

An amount is exact down to a nano (`n`); what is finer is rounded away from zero, so that whoever asked for something
gets something. Amounts beyond a signed 64-bit integer are cut to it. Results of parsing are remembered: a cluster
uses few different texts.

Source: staging/src/k8s.io/apimachinery/pkg/api/resource/{quantity,suffix}.go.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

__all__ = ["canonical", "from_milli", "from_value", "milli", "parse", "value"]

_NANO = 10**9
_MAX_NANOS = (2**63 - 1) * _NANO

_PATTERN = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_FORMAT_WRONG = f"quantities must match the regular expression '{_PATTERN}'"
_SUFFIX_WRONG = "unable to parse quantity's suffix"
_NUMBER_WRONG = "unable to parse numeric part of quantity"
_QUANTITY = re.compile(_PATTERN.replace("$", r"\Z"))
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_NAMES = {exponent: name for name, exponent in _DECIMAL.items()}
_BINARY_NAMES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_BINARY = {name: 1024**power for power, name in enumerate(_BINARY_NAMES) if power}
_MAX_EXPONENT = 400
"""An exponent beyond this gives the same answer: too small or too large to hold."""


def _round_up(numerator: int, denominator: int) -> int:
    """Division rounded away from zero."""
    magnitude = -(-abs(numerator) // denominator)
    return magnitude if numerator >= 0 else -magnitude


@lru_cache(maxsize=8192)
def _read(text: str) -> tuple[int, str]:
    """The amount in nanos, and how it was written: `decimal`, `exponent` or `binary`. Raises ValueError."""
    match = _QUANTITY.match(text)
    if match is None:
        raise ValueError(_FORMAT_WRONG)
    number, suffix = match.groups()
    if not _NUMBER.fullmatch(number):
        raise ValueError(_NUMBER_WRONG if number.count(".") <= 1 else _FORMAT_WRONG)
    style, numerator, denominator = "decimal", 1, 1
    if suffix in _BINARY:
        style, numerator = "binary", _BINARY[suffix]
    else:
        if suffix in _DECIMAL:
            exponent = _DECIMAL[suffix]
        elif suffix[:1] in ("e", "E") and re.fullmatch(r"[+-]?[0-9]{1,18}", suffix[1:]):
            style, exponent = "exponent", max(-_MAX_EXPONENT, min(_MAX_EXPONENT, int(suffix[1:])))
        else:
            raise ValueError(_SUFFIX_WRONG)
        if exponent >= 0:
            numerator = 10**exponent
        else:
            denominator = 10**-exponent
    whole, _, fraction = number.partition(".")
    mantissa = int(whole.lstrip("+-") + fraction or "0") * (-1 if whole.startswith("-") else 1)
    nanos = _round_up(mantissa * numerator * _NANO, denominator * 10 ** len(fraction))
    nanos = max(-_MAX_NANOS, min(_MAX_NANOS, nanos))
    if style == "binary" and 0 < nanos < _NANO:
        style = "decimal"
    return nanos, style


def _write(nanos: int, style: str) -> str:
    if nanos == 0:
        return "0"
    if style == "binary" and abs(nanos) >= 1024 * _NANO and nanos % _NANO == 0:
        whole, power = nanos // _NANO, 0
        while whole % 1024 == 0 and power < len(_BINARY_NAMES) - 1:
            whole //= 1024
            power += 1
        return f"{whole}{_BINARY_NAMES[power]}"
    mantissa, exponent = nanos, -9
    while mantissa % 1000 == 0 and exponent < 18:
        mantissa //= 1000
        exponent += 3
    if style == "exponent":
        return f"{mantissa}e{exponent}" if exponent else str(mantissa)
    return f"{mantissa}{_DECIMAL_NAMES[exponent]}"


@lru_cache(maxsize=8192)
def canonical(text: str) -> str:
    """The one text of this amount: no fraction, the largest suffix that keeps it exact (`0.5` is `500m`, `1024Mi` is
    `1Gi`). The family of suffixes stays as written. Raises ValueError with upstream's words."""
    return _write(*_read(text))


def parse(text: str) -> Fraction:
    """The exact amount. Raises ValueError."""
    return Fraction(_read(text)[0], _NANO)


@lru_cache(maxsize=8192)
def milli(text: str) -> int:
    """Thousandths, rounded up (away from zero): `0.5` is 500. Raises ValueError."""
    return _round_up(_read(text)[0], 10**6)


@lru_cache(maxsize=8192)
def value(text: str) -> int:
    """Whole units, rounded up (away from zero): `1Ki` is 1024, `100m` is 1. Raises ValueError."""
    return _round_up(_read(text)[0], _NANO)


def from_milli(amount: int) -> str:
    """The canonical text of so many thousandths: 1500 is `1500m`, 2000 is `2`."""
    return _write(amount * 10**6, "decimal")


def from_value(amount: int, binary: bool = False) -> str:
    """The canonical text of so many units, with `Ki`, `Mi`... if `binary`: 1048576 is `1Mi`."""
    return _write(amount * _NANO, "binary" if binary else "decimal")
