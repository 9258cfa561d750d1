"""The only module that talks to Amazon S3: it keeps the manifests of runs, and the selections of requests."""

import hashlib
import tempfile
import uuid
from collections.abc import Iterator
from typing import IO, Any, Self

import msgspec

from chalicelib.models import Batch, Communication, Selection

# In bytes: a smaller manifest is written in memory, a larger one to a file in Lambda's /tmp.
_IN_MEMORY = 10_000_000


class ManifestWriter:
    """Writes a manifest: a JSON array of batches, in the order in which communications are added.

    As a context manager it deletes its temporary file in the end.
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

    def add(self, communication: Communication) -> bool:
        """Add a communication; return False if the current batch already holds it."""
        if communication.key in self._batch:
            return False
        self._batch[communication.key] = communication
        self.communications += 1
        if len(self._batch) == self._batch_size:
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
    """The bucket of one deployment; `client` is boto3's `s3` client."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self.bucket = bucket

    def upload(self, run_id: str, manifest: ManifestWriter) -> str:
        """Upload a finished manifest and return its key, which no other attempt of the run uses."""
        key = f"runs/{run_id}/manifest-{uuid.uuid4().hex}.json"
        self._client.upload_fileobj(manifest.file, self.bucket, key)
        return key

    def read(self, key: str) -> Iterator[Batch]:
        """Yield the batches of a manifest."""
        body = self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        yield from msgspec.json.decode(body, type=list[Batch])

    def put_selection(self, run_id: str, selection: Selection) -> str:
        """Store a request's selection and return its key. Only an equal selection of the same run has the same key."""
        body = msgspec.json.encode(selection)
        key = f"runs/{run_id}/selection-{hashlib.sha256(body).hexdigest()[:16]}.json"
        self._client.put_object(Bucket=self.bucket, Key=key, Body=body)
        return key

    def read_selection(self, key: str) -> Selection:
        """Return a request's selection."""
        answer = self._client.get_object(Bucket=self.bucket, Key=key)
        return msgspec.json.decode(answer["Body"].read(), type=Selection)
