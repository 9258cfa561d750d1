"""The requests for a source's list: its own parameters, and filters in the application's names and formats."""

import pytest

from chalicelib.application.config import Filter, Next, Source
from chalicelib.application.list_requests import first_requests
from chalicelib.models.selections import Selection

AFTER, BEFORE = "2026-11-19T00:00:00.250Z", "2026-11-20T00:00:00.250Z"


def params(selection=None, **options):
    """Return the parameters of the first requests for the list of a source with these options."""
    source = Source(**{"operation": "send.email", "list": "https://app.example.com/a", "cool_down": "1h"} | options)
    requests = list(first_requests(source, selection or Selection()))
    assert {request.url for request in requests} == {source.list}
    return [request.params for request in requests]


@pytest.mark.parametrize(
    ("options", "expected"),
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
def test_the_first_request_has_the_sources_own_parameters(options, expected):
    """It also has the number or the offset of the first page, where the paging style needs one."""
    assert params(**options) == [expected]


@pytest.mark.parametrize(
    ("style", "after", "before"),
    [
        ("iso", AFTER, BEFORE),
        ("epoch", 1_795_046_400, 1_795_132_801),
        ("epoch_ms", 1_795_046_400_250, 1_795_132_800_250),
    ],
)
@pytest.mark.parametrize("where", ["filter", "source"])
def test_filter_times_are_sent_in_the_applications_format(style, after, before, where):
    """That is the format of the filter or else of the records; seconds are rounded so that nothing is left out."""
    style_of = {"format": style} if where == "filter" else {}
    filters = {"createdAfter": Filter(param="from", **style_of), "createdBefore": Filter(param="to", **style_of)}
    times = {"times": style} if where == "source" else {"times": "epoch_ms"}
    selection = Selection(created_after=AFTER, created_before=BEFORE)
    assert params(selection, filters=filters, **times) == [{"from": after, "to": before}]


def test_a_filter_that_the_source_does_not_support_is_not_sent():
    """The collector compares with the record itself."""
    selection = Selection(created_after=AFTER, created_by="Jo", primary_ids=["a"])
    assert params(selection, filters={"createdBefore": "to"}) == [{}]


def test_requested_ids_are_sent_repeated_or_joined():
    """The source's filter decides which; each id is sent once."""
    selection = Selection(primary_ids=["b", "a", "b"])
    assert params(selection, filters={"primaryIds": "id"}) == [{"id": ["b", "a"]}]
    joined = Filter(param="ids", list="joined")
    assert params(selection, filters={"primaryIds": joined}) == [{"ids": "b,a"}]


def test_many_ids_are_split_over_several_requests():
    """A request line must not grow too long; each id is in exactly one request."""
    ids = [f"id-{number}" for number in range(1000)]
    requests = params(Selection(primary_ids=ids), filters={"primaryIds": Filter(param="id", at_once=300)})
    assert [len(request["id"]) for request in requests] == [300, 300, 300, 100]
    assert [primary_id for request in requests for primary_id in request["id"]] == ids
