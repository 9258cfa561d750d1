"""What a row must be like, and what it pays. Amounts are whole cents."""

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from chalicelib.csv_file import COLUMNS, Row

# A made-up flat tax, so that there is something to compute.
TAX = Decimal("0.20")

# In hours: a month of 31 days.
MOST_HOURS = 744
MOST_RATE = 1000

# So that a batch of them is below 5 KB in the ledger: see steps.MOST.
_EMPLOYEE = re.compile(r"[A-Z0-9-]{1,16}")
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_NUMBER = re.compile(r"[0-9]{1,4}(\.[0-9]{1,2})?")
# The check digits are 98 minus a remainder of 97: 00, 01 and 99 would be other names of 97, 98 and 02.
_IBAN = re.compile(r"[A-Z]{2}(0[2-9]|[1-8][0-9]|9[0-8])[A-Z0-9]{11,30}")


class Payment(NamedTuple):
    """What one row pays."""

    line: int
    employee: str
    account: str
    month: str
    gross: int
    tax: int
    net: int


def mistakes(row: Row) -> list[str]:
    """Return what is wrong with a row: its column and its rule, never its content, which is personal data."""
    _, fields = row
    if len(fields) != len(COLUMNS):
        return [f"there must be {len(COLUMNS)} fields, not {len(fields)}"]
    employee, account, month, hours, rate = fields
    rules = {
        "employee must be capital letters, digits and hyphens, at most 16": _EMPLOYEE.fullmatch(employee),
        "account must be an IBAN without spaces and with the right check digits": _is_iban(account),
        "month must be written like 2026-11": _MONTH.fullmatch(month),
        f"hours must be a number above 0 and up to {MOST_HOURS}, like 37.5": _is_within(hours, MOST_HOURS),
        f"rate must be an amount above 0 and up to {MOST_RATE}, like 21.50": _is_within(rate, MOST_RATE),
    }
    return [rule for rule, is_kept in rules.items() if not is_kept]


def payment(row: Row) -> Payment:
    """Return what a row without mistakes pays."""
    line, (employee, account, month, hours, rate) = row
    gross = _whole(Decimal(hours) * Decimal(rate) * 100)
    tax = _whole(gross * TAX)
    return Payment(line, employee, account, month, gross, tax, gross - tax)


def amount(cents: int) -> str:
    """Return an amount as people write it."""
    return f"{cents // 100}.{cents % 100:02}"


def _whole(cents: Decimal) -> int:
    return int(cents.quantize(Decimal(1), ROUND_HALF_UP))


def _is_within(text: str, most: int) -> bool:
    return bool(_NUMBER.fullmatch(text)) and 0 < Decimal(text) <= most


def _is_iban(text: str) -> bool:
    """Whether the check digits are right: moved to the end, with letters as numbers, it is 1 modulo 97 (ISO 13616)."""
    digits = "".join(str(int(each, 36)) for each in text[4:] + text[:4]) if _IBAN.fullmatch(text) else "0"
    return int(digits) % 97 == 1
