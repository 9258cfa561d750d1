"""The only module that knows the bucket: the manifests of the runs, and what a request selected."""

import hashlib
import tempfile
import uuid
from collections.abc import Iterator
from typing import IO, Any, Self

import msgspec

from chalicelib.models import Batch, Communication, Selection

# Below this a manifest stays in memory while it is written; beyond, it is a file in Lambda's /tmp.
_IN_MEMORY = 10_000_000


class Manifest:
    """A manifest being written: a JSON array of batches, in the order in which communications are added.

    As a context manager it lets go of its file at the end.
    """

    def __init__(self, batch_size: int) -> None:
        self.batches = 0
        self.communications = 0
        self.file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 (closed by __exit__)
        self._batch_size = batch_size
        self._batch: dict[tuple[str, str], Communication] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def add(self, it: Communication) -> bool:
        """Add a communication; return False if the batch being filled holds it already."""
        key = (it.operation, it.primary_id)
        if key in self._batch:
            return False
        self._batch[key] = it
        self.communications += 1
        if len(self._batch) == self._batch_size:
            self._flush()
        return True

    def end(self) -> None:
        """Write what is left and end the array."""
        if self._batch:
            self._flush()
        self.file.write(b"]" if self.batches else b"[]")
        self.file.seek(0)

    def _flush(self) -> None:
        batch = Batch(index=self.batches, communications=list(self._batch.values()))
        self.file.write((b"," if self.batches else b"[") + msgspec.json.encode(batch))
        self.batches += 1
        self._batch.clear()


class Store:
    """The bucket; `client` is boto3's `s3` client."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self.bucket = bucket

    def put_manifest(self, run_id: str, manifest: Manifest) -> str:
        """Upload a manifest that has ended and return its key, which no other attempt of this run uses."""
        key = f"runs/{run_id}/manifest-{uuid.uuid4().hex}.json"
        self._client.upload_fileobj(manifest.file, self.bucket, key)
        return key

    def manifest(self, key: str) -> Iterator[Batch]:
        """Yield the batches of a manifest."""
        body = self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        yield from msgspec.json.decode(body, type=list[Batch])

    def put_selection(self, run_id: str, selection: Selection) -> str:
        """Keep what a request selected and return its key, which is the same for the same selection only."""
        body = msgspec.json.encode(selection)
        key = f"runs/{run_id}/selection-{hashlib.sha256(body).hexdigest()[:16]}.json"
        self._client.put_object(Bucket=self.bucket, Key=key, Body=body)
        return key

    def selection(self, key: str) -> Selection:
        """Return what a request selected."""
        answer = self._client.get_object(Bucket=self.bucket, Key=key)
        return msgspec.json.decode(answer["Body"].read(), type=Selection)
