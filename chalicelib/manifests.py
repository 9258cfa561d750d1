"""The only module that talks to Amazon S3: it keeps the manifests of runs, and the selections of requests."""

import codecs
import hashlib
import json
import re
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, Self, TypeVar

import msgspec

from chalicelib.errors import ManifestLost
from chalicelib.models.batches import Batch
from chalicelib.models.communications import Communication
from chalicelib.models.outages import Affected
from chalicelib.models.selections import Selection, WorklistSelection

# In bytes: a smaller manifest is written in memory, a larger one to a file in Lambda's /tmp.
_IN_MEMORY = 10_000_000

# In bytes: how much of a manifest one request reads.
CHUNK = 4_000_000

# In characters: far more than any batch has. An input of Step Functions has at most 256 KiB (Step Functions Developer
# Guide, "Service quotas"), and a batch is part of one.
_LONGEST_BATCH = 1_000_000

# In bytes: what stands for a communication that an outage has hit.
_DIGEST = 8

# What comes before the first batch of a manifest, and before each of the others.
_BEFORE_FIRST, _BEFORE_NEXT = re.compile(r"\s*\[\s*(?=\{)"), re.compile(r"\s*,\s*(?=\{)")

T = TypeVar("T", Selection, WorklistSelection)

_decode_json = json.JSONDecoder().raw_decode


class ManifestWriter:
    """Writes a manifest: a JSON array of batches, in the order in which communications are added.

    `sizes` are those of the first batches, each at most `batch_size`. As a context manager it deletes its temporary
    file in the end.
    """

    def __init__(self, batch_size: int, sizes: Sequence[int] = ()) -> None:
        self.batches = 0
        self.communications = 0
        self.file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 (closed by __exit__)
        self._sizes = [*(min(size, batch_size) for size in sizes), batch_size]
        self._batch: dict[tuple[str, str], Communication] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def add(self, communication: Communication) -> bool:
        """Add a communication; return False if the current batch already holds it."""
        if communication.key in self._batch:
            return False
        self._batch[communication.key] = communication
        self.communications += 1
        if len(self._batch) == self._sizes[min(self.batches, len(self._sizes) - 1)]:
            self._write_batch()
        return True

    def finish(self) -> None:
        """Write the last batch and close the array. Nothing can be added after that."""
        if self._batch:
            self._write_batch()
        self.file.write(b"]" if self.batches else b"[]")
        self.file.seek(0)

    def _write_batch(self) -> None:
        batch = Batch(index=self.batches, communications=list(self._batch.values()))
        self.file.write((b"," if self.batches else b"[") + msgspec.json.encode(batch))
        self.batches += 1
        self._batch.clear()


class Manifests:
    """The bucket of one deployment; `client` is boto3's `s3` client. Manifests are read in chunks of so many bytes."""

    def __init__(self, client: Any, bucket: str, chunk: int = CHUNK) -> None:
        self._client = client
        self.bucket = bucket
        self._chunk = chunk

    def upload(self, run_id: str, manifest: ManifestWriter) -> str:
        """Upload a finished manifest and return its key, which no other attempt of the run uses."""
        key = f"runs/{run_id}/manifest-{uuid.uuid4().hex}.json"
        self._client.upload_fileobj(manifest.file, self.bucket, key)
        return key

    def read(self, key: str) -> Iterator[Batch]:
        """Yield the batches of a manifest, which is never in memory as a whole. ManifestLost if it is not complete."""
        yield from _batches(codecs.iterdecode(self._chunks(key), "utf-8"))

    def _chunks(self, key: str, start: int = 0) -> Iterator[bytes]:
        # Each chunk has a request of its own, and is read at once: whoever takes the batches may be slow, and S3 closes
        # a connection on which nothing is read. A file in /tmp would do as well, but has a limit and costs a copy. No
        # other manifest can take this one's place in between, as its key is used only once.
        size = start + 1
        while start < size:
            wanted = f"bytes={start}-{start + self._chunk - 1}"
            answer = self._get_chunk(key, wanted)
            yield answer["Body"].read()
            start, size = start + self._chunk, int(answer["ContentRange"].rpartition("/")[2])

    def _get_chunk(self, key: str, wanted: str) -> Any:
        """Return S3's answer.

        Without the permission `s3:ListBucket`, S3 answers 403 for an object that is gone (Amazon S3 API Reference,
        GetObject).
        """
        try:
            return self._client.get_object(Bucket=self.bucket, Key=key, Range=wanted)
        except self._client.exceptions.NoSuchKey:
            raise ManifestLost("the manifest is gone") from None

    def put_selection(self, run_id: str, selection: Selection | WorklistSelection) -> str:
        """Store a request's selection and return its key. Only an equal selection of the same run has the same key."""
        body = msgspec.json.encode(selection)
        key = f"runs/{run_id}/selection-{hashlib.sha256(body).hexdigest()[:16]}.json"
        self._client.put_object(Bucket=self.bucket, Key=key, Body=body)
        return key

    def read_selection(self, key: str, kind: type[T]) -> T:
        """Return a request's selection."""
        answer = self._client.get_object(Bucket=self.bucket, Key=key)
        return msgspec.json.decode(answer["Body"].read(), type=kind)

    def put_affected(self, outage_id: str, file: IO[bytes]) -> str:
        """Store what an outage has hit, one JSON text on each line, and return its key, which no other call uses."""
        key = f"outages/{outage_id}/hit-{uuid.uuid4().hex}.jsonl"
        file.seek(0)
        self._client.upload_fileobj(file, self.bucket, key)
        return key

    def read_affected(self, key: str, start: int = 0) -> Iterator[tuple[int, Affected]]:
        """Yield what an outage has hit from the byte `start` on, each with the byte at which it begins.

        ManifestLost if it is gone.
        """
        rest = b""
        for chunk in self._chunks(key, start):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield start, msgspec.json.decode(line, type=Affected)
                start += len(line) + 1

    def merge_affected(self, outage_id: str, keys: Iterable[str]) -> str:
        """Store what an outage has hit, which is in several objects, as one in the same order; return the key."""
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            for key in keys:
                file.writelines(self._chunks(key))
            return self.put_affected(outage_id, file)

    def put_listed(self, outage_id: str, digests: set[int]) -> str:
        """Store which of those that an outage has hit are still listed, as digests of 64 bits; return the key."""
        key = f"outages/{outage_id}/listed-{uuid.uuid4().hex}"
        content = b"".join(digest.to_bytes(_DIGEST) for digest in digests)
        self._client.put_object(Bucket=self.bucket, Key=key, Body=content)
        return key

    def read_listed(self, key: str) -> set[int]:
        """Return the digests that `put_listed` has stored. ManifestLost if they are gone."""
        try:
            content = self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self._client.exceptions.NoSuchKey:
            raise ManifestLost("what was listed is gone") from None
        return {int.from_bytes(content[at : at + _DIGEST]) for at in range(0, len(content), _DIGEST)}


def _batches(chunks: Iterable[str]) -> Iterator[Batch]:
    """Yield the batches of a manifest, a JSON array in any layout, whose text arrives in chunks."""
    rest, number = "", 0
    for chunk in chunks:
        rest, at = rest + chunk, 0
        while before := (_BEFORE_NEXT if number else _BEFORE_FIRST).match(rest, at):
            try:
                batch, at = _decode_json(rest, before.end())
            except json.JSONDecodeError:
                break  # The next chunk has the rest of it.
            yield msgspec.convert(batch, Batch)
            number += 1
        rest = rest[at:]
        if len(rest) > _LONGEST_BATCH:
            break
    if "".join(rest.split()) != ("]" if number else "[]"):
        raise ManifestLost(f"the manifest is damaged, or cut off, after {number} batches")
