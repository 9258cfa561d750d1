"""The worklist as a CSV file: no spreadsheet takes one of the application's ids for a formula."""

import csv
import io
import re

import pytest

from chalicelib.api.csv_files import worklist_csv
from chalicelib.api.serializers.communications import communication_view
from chalicelib.ledger.worklist import WorklistEntry

FORMULAS = ["=1+1", "+1", "-1", "@SUM(1)", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20SUM(1)"]


def file_of(primary_id):
    """Return the CSV file of one communication with this id."""
    entry = WorklistEntry(operation="send.email", primary_id=primary_id, manual_reason="a_code", manual_since=0)
    return worklist_csv([communication_view(entry)])


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("before", ["", " ", "\t", "\r", "\n", "a\n", "a;", "a,", "a\t", 'a"', 'a";"', "a; "])
def test_no_cell_begins_with_a_formula_however_a_spreadsheet_divides_the_file(before, formula):
    """In some countries it divides at semicolons, and some programs do not honour quotes."""
    cells = re.split(r'[,;\t\r\n"]', file_of(before + formula))
    assert [cell for cell in cells if cell.lstrip().startswith(tuple(each[0] for each in FORMULAS))] == []


@pytest.mark.parametrize("start", ["\t", "\r", "\n"])
def test_no_cell_begins_with_a_tab_or_a_line_break(start):
    """A spreadsheet may drop it and look at what follows."""
    (row,) = csv.DictReader(io.StringIO(file_of(start + "x"), newline=""))
    assert row["primaryId"] == f"'{start}x"


@pytest.mark.parametrize("primary_id", ["1", "a-b", "2026-11-20", "a=b", "jo+1@example.com", "a;b", "a b", "ä"])
def test_an_id_that_cannot_be_a_formula_is_not_changed(primary_id):
    """People compare it with the application's."""
    (row,) = csv.DictReader(io.StringIO(file_of(primary_id), newline=""))
    assert row["primaryId"] == primary_id
