"""Manifests are read batch by batch, whatever they contain and however large they are, or there is an error."""

import io
import itertools
import json
import re
from pathlib import Path

import pytest
from botocore.exceptions import IncompleteReadError
from botocore.response import StreamingBody

from chalicelib.manifests import CHUNK, Manifests, ManifestWriter
from chalicelib.models.communications import Communication

DATA = Path(__file__).parents[1] / "data"
VERSIONS = sorted(folder.name for folder in DATA.iterdir())

# Everything that JSON, and the characters between two batches, could be mistaken for.
IDS = ["1", 'a"},{"index":1,"communications":[', "]", "[{", "\\", "line\nbreak", "Grüße 你好 🙂", "\u2028", "9"]


class FakeS3:
    """S3 with one object, whose bodies are cut off after `cut` bytes of the object."""

    def __init__(self, content: bytes, cut: int | None = None):
        self.requests = 0
        self._content, self._cut = content, cut

    def get_object(self, Bucket, Key, Range):  # noqa: N803 (boto3's names)
        assert (Bucket, Key) == ("bucket", "key")
        self.requests += 1
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", Range).groups())
        assert first < len(self._content), "S3 answers 416"
        body = self._content[first : last + 1]
        sent = body if self._cut is None else self._content[: self._cut][first : last + 1]
        return {
            "Body": StreamingBody(io.BytesIO(sent), len(body)),
            "ContentRange": f"bytes {first}-{first + len(body) - 1}/{len(self._content)}",
        }


def written(ids, batch_size=2):
    """Return the manifest that the collector writes for these ids."""
    with ManifestWriter(batch_size) as manifest:
        for each in ids:
            manifest.add(Communication(operation="send.email", primary_id=each, listed_at=1, created_by="Zoë"))
        manifest.finish()
        return manifest.file.read()


def read(content, chunk=CHUNK):
    """Return the ids of each batch of a manifest that is read in chunks of so many bytes."""
    batches = Manifests(FakeS3(content), "bucket", chunk).read("key")
    return [[each.primary_id for each in batch.communications] for batch in batches]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 50, 1000, CHUNK])
def test_a_manifest_is_read_as_it_was_written_wherever_its_chunks_end(chunk):
    """They may end within a batch, within an escape, within a character, or just before the last bracket."""
    assert read(written(IDS), chunk) == [*map(list, zip(IDS[::2], IDS[1::2], strict=False)), ["9"]]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_manifest_whose_last_chunk_is_full_is_complete(missing):
    """S3 refuses a range that begins where the object ends."""
    content = written(IDS)
    assert read(content, len(content) - missing) == read(content)


@pytest.mark.parametrize("chunk", [5, CHUNK])
@pytest.mark.parametrize("layout", [{"indent": 2}, {"indent": None}, {"separators": (",", ":")}])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_of_earlier_versions_are_read_in_any_layout(version, layout, chunk):
    """A run may be under way while a new version is deployed."""
    (batch,) = json.loads((DATA / version / "manifest.json").read_text())
    ids = [each["primaryId"] for each in batch["communications"]]
    assert len(ids) == 3
    assert read(json.dumps([batch, batch], **layout).encode(), chunk) == [ids, ids]


def test_a_manifest_without_batches_is_read():
    """The collector uploads none, but finishes one."""
    assert read(written([])) == []


@pytest.mark.parametrize("chunk", [10, CHUNK])
def test_a_manifest_that_is_cut_off_anywhere_is_an_error(chunk):
    """Half a manifest must never look complete: what it lacks would end the run without an outcome."""
    content = written(IDS)
    for length in range(1, len(content)):
        with pytest.raises(ValueError, match=r"damaged, or cut off|unexpected end of data"):
            read(content[:length], chunk)


@pytest.mark.parametrize("damage", [b"", b"[", b",,", b",null,", b"},", b"]"])
def test_a_manifest_that_is_damaged_is_an_error(damage):
    """Whatever it was that damaged it."""
    first, second = written(IDS[:2]), written(IDS[2:4])
    with pytest.raises(ValueError, match="damaged, or cut off, after 1 batches"):
        read(first[:-1] + damage + second[1:])


def test_an_item_that_is_no_batch_is_an_error():
    """Its communications would end the run without an outcome."""
    with pytest.raises(ValueError, match="missing required field"):
        read(b'[{"index":0}]')


def test_a_connection_that_breaks_in_the_middle_is_an_error():
    """The batches before that have been read; the state machine calls the report again."""
    content = written(map(str, range(100)))
    batches = Manifests(FakeS3(content, cut=len(content) // 2), "bucket", 1000).read("key")
    assert next(batches).index == 0
    with pytest.raises(IncompleteReadError):
        list(batches)


def test_only_one_chunk_of_a_manifest_is_in_memory():
    """The next one is requested when it is needed, so it does not matter how long a batch takes or how many follow."""
    content = written(map(str, range(1000)))
    s3 = FakeS3(content)
    batches = Manifests(s3, "bucket", 1000).read("key")
    assert s3.requests == 0
    for batch in itertools.islice(batches, 250):
        assert s3.requests <= len(content) * (batch.index + 1) / 500 // 1000 + 2
    assert len(list(batches)) == 250
    assert s3.requests == -(-len(content) // 1000)


def test_a_damaged_manifest_is_not_searched_to_its_end():
    """That would bring all of it into memory."""
    content = b"[{]" + written(map(str, range(60_000)))
    s3 = FakeS3(content)
    with pytest.raises(ValueError, match="damaged, or cut off, after 0 batches"):
        list(Manifests(s3, "bucket", 250_000).read("key"))
    assert len(content) > 4_000_000
    assert s3.requests == 5
