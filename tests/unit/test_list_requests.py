"""How a source is asked: its own parameters, and filters under its names and in its formats."""

import pytest

from chalicelib.application.config import Filter, Next, Source
from chalicelib.application.list_requests import first_requests
from chalicelib.models import Selection

AFTER, BEFORE = "2026-11-19T00:00:00.250Z", "2026-11-20T00:00:00.250Z"


def params(selection=None, **source):
    """The queries of the places where a list begins."""
    it = Source(**{"operation": "send.email", "list": "https://app.example.com/a", "cool_down": "1h"} | source)
    found = list(first_requests(it, selection or Selection()))
    assert {place.url for place in found} == {it.list}
    return [place.params for place in found]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({}, {}),
        ({"params": {"size": 5}, "next": Next(page="p")}, {"size": 5, "p": 1}),
        ({"next": Next(page="p", first=0)}, {"p": 0}),
        ({"next": Next(offset="o")}, {"o": 0}),
        ({"next": Next(last_id="after")}, {}),
        ({"next": Next(cursor="c", param="cursor")}, {}),
        ({"next": Next(link=True)}, {}),
    ],
)
def test_a_list_begins_with_its_own_parameters(source, expected):
    """And with the number or the offset of the first page, where there is one."""
    assert params(**source) == [expected]


@pytest.mark.parametrize(
    ("style", "after", "before"),
    [
        ("iso", AFTER, BEFORE),
        ("epoch", 1_795_046_400, 1_795_132_801),
        ("epoch_ms", 1_795_046_400_250, 1_795_132_800_250),
    ],
)
@pytest.mark.parametrize("where", ["filter", "source"])
def test_a_filters_times_are_in_the_applications_format(style, after, before, where):
    """That of the filter, else that of the records; whole seconds are rounded so that nothing is left out."""
    style_of = {"format": style} if where == "filter" else {}
    filters = {"createdAfter": Filter(param="from", **style_of), "createdBefore": Filter(param="to", **style_of)}
    times = {"times": style} if where == "source" else {"times": "epoch_ms"}
    selection = Selection(created_after=AFTER, created_before=BEFORE)
    assert params(selection, filters=filters, **times) == [{"from": after, "to": before}]


def test_a_filter_that_is_not_served_is_not_asked_for():
    """The collector compares with the record itself."""
    selection = Selection(created_after=AFTER, created_by="Jo", primary_ids=["a"])
    assert params(selection, filters={"createdBefore": "to"}) == [{}]


def test_ids_may_be_repeated_or_joined():
    """As the application takes them, each once."""
    selection = Selection(primary_ids=["b", "a", "b"])
    assert params(selection, filters={"primaryIds": "id"}) == [{"id": ["b", "a"]}]
    joined = Filter(param="ids", list="joined")
    assert params(selection, filters={"primaryIds": joined}) == [{"ids": "b,a"}]


def test_many_ids_are_asked_for_some_at_a_time():
    """A request line has its limits; all ids are asked for, each in one request."""
    ids = [f"id-{number}" for number in range(1000)]
    found = params(Selection(primary_ids=ids), filters={"primaryIds": Filter(param="id", at_once=300)})
    assert [len(each["id"]) for each in found] == [300, 300, 300, 100]
    assert [one for each in found for one in each["id"]] == ids
