"""What the steps of the state machine do. Each may be repeated, and may die between any two lines."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from chalicelib import csv_file, rules
from chalicelib.csv_file import COLUMNS
from chalicelib.errors import FileRefused, PaymentsDiffer
from chalicelib.ledger import Ledger
from chalicelib.rules import Payment, amount
from chalicelib.store import Store, payments_key

# Employees in a batch: one function call computes them, and one item of the ledger holds their payments.
BATCH = 200

# A transaction of DynamoDB has at most 100 items and 4 MB (Amazon DynamoDB API Reference, TransactWriteItems). One item
# is the payroll's own. All of them are in one partition, which takes 1,000 write units in a second (Amazon DynamoDB
# Developer Guide, "Best practices for designing and using partition keys effectively"): in a transaction, 99 batches of
# at most 5 KB are 990, as each KB counts twice.
MOST = 99 * BATCH

# Mistakes in a mail. Step Functions cuts a cause after 32,768 characters (AWS Step Functions API Reference,
# LambdaFunctionFailedEventDetails), and a cut one is no JSON.
MOST_MISTAKES = 200

# Which field of a row names the employee.
EMPLOYEE = COLUMNS.index("employee")

Mistake = tuple[int, str]


def split(payroll: str, execution: str, store: Store) -> list[int]:
    """Write the rows of an upload as batches, and return their numbers. FileRefused if it is no such file."""
    rows = iter(csv_file.read(store.upload(payroll), MOST))
    numbers: list[int] = []
    while batch := list(islice(rows, BATCH)):
        store.put_rows(execution, len(numbers), batch)
        numbers.append(len(numbers))
    return numbers


def compute(execution: str, batch: int, store: Store) -> None:
    """Check the rows of a batch, and compute what they pay. A mistake is a result: all batches must be checked."""
    rows = store.rows(execution, batch)
    wrong = [(row[0], mistake) for row in rows for mistake in rules.mistakes(row)]
    right = [rules.payment(row) for row in rows if not rules.mistakes(row)]
    employees = [(row[0], row[1][EMPLOYEE]) for row in rows if len(row[1]) == len(COLUMNS)]
    store.put_result(execution, batch, {"payments": right, "mistakes": wrong, "employees": employees})


def aggregate(payroll: str, execution: str, batches: list[int], store: Store) -> str:
    """Write the payment file of all batches, and return its key.

    FileRefused names every mistake of the file. The file counts for nothing until the ledger names it.
    """
    results = [store.result(execution, batch) for batch in batches]
    payments = _payments(results)
    wrong = [(line, text) for result in results for line, text in result["mistakes"]]
    employees = [(line, employee) for result in results for line, employee in result["employees"]]
    wrong += [*_repeated(employees), *_other_months(payments)]
    if wrong:
        raise FileRefused(_report(sorted(wrong)))
    return store.put_payments(payroll, _payment_file(payments))


def pay(payroll: str, execution: str, batches: list[int], file: str, ledger: Ledger, store: Store) -> dict[str, Any]:
    """Pay: in one transaction, the ledger gets the payments of all batches, and the name of the payment file.

    PaymentsDiffer if the file has others, as when code that computes otherwise was deployed in between.
    """
    results = [store.result(execution, batch) for batch in batches]
    payments = _payments(results)
    if payments_key(payroll, _payment_file(payments)) != file:
        raise PaymentsDiffer
    pages = [{each.employee: each.net for each in _payments([result])} for result in results]
    return ledger.pay(payroll, file, amount(sum(each.net for each in payments)), pages)


def _payments(results: list[dict[str, Any]]) -> list[Payment]:
    return [Payment(*each) for result in results for each in result["payments"]]


def _repeated(employees: list[tuple[int, str]]) -> Iterator[Mistake]:
    """Yield the lines whose employee has been in the file before."""
    first: dict[str, int] = {}
    for line, employee in employees:
        before = first.setdefault(employee, line)
        if employee and before != line:
            yield line, f"the employee is in line {before} already"


def _other_months(payments: list[Payment]) -> Iterator[Mistake]:
    """Yield the lines whose month is not that of most."""
    usual = Counter(each.month for each in payments).most_common(1)
    for each in payments:
        if each.month != usual[0][0]:
            yield each.line, "month is not that of most lines, and a payroll has one"


def _report(mistakes: list[Mistake]) -> str:
    number = len(mistakes)
    lines = [f"line {line}: {text}" for line, text in mistakes[:MOST_MISTAKES]]
    if number > MOST_MISTAKES:
        lines.append(f"and {number - MOST_MISTAKES} more, from line {mistakes[MOST_MISTAKES][0]} on")
    listed = "\n".join(lines)
    found = "1 mistake" if number == 1 else f"{number} mistakes"
    return f"The file has {found}:\n\n{listed}\n\nCorrect the file, and upload it again. Nobody in it has been paid."


def _payment_file(payments: list[Payment]) -> bytes:
    """Return the payment file. It follows from the payments alone, so repeating it gives the same bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["employee", "account", "month", "gross", "tax", "net"])
    for each in payments:
        writer.writerow([each.employee, each.account, each.month, *map(amount, (each.gross, each.tax, each.net))])
    return text.getvalue().encode()
