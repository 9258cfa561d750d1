"""The files that a function runs from: its unzipped package, and the libraries that Lambda provides."""

import hashlib
import io
import re
import threading
import zipfile
from importlib import metadata
from pathlib import Path

PROVIDED = ("boto3", "awslambdaric")


class Packages:
    """Unzips each deployed package once, into `directory`, which the caller removes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self.provided = directory / "provided"
        self.scratch = directory / "tmp"
        self.scratch.mkdir()
        _link_provided(self.provided)

    def unzipped(self, code: bytes) -> Path:
        """Return the folder with the content of a zip file."""
        root = self._directory / hashlib.sha256(code).hexdigest()
        with self._lock:
            if not root.exists():
                with zipfile.ZipFile(io.BytesIO(code)) as package:
                    package.extractall(root)
        return root


def _link_provided(directory: Path) -> None:
    """Link boto3 and the runtime client from our environment, and nothing else.

    So a package that lacks one of its requirements fails here as it would on AWS.
    """
    directory.mkdir()
    for name in _with_requirements(PROVIDED):
        distribution = metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}
        for top in tops:
            (directory / top).symlink_to(Path(str(distribution.locate_file(top))).resolve())


def _with_requirements(names: tuple[str, ...]) -> set[str]:
    """Return the distributions and everything that they require, directly or not."""
    found: set[str] = set()
    remaining = list(names)
    while remaining:
        name = remaining.pop()
        if name not in found:
            found.add(name)
            remaining += [_name(line) for line in metadata.requires(name) or [] if "extra ==" not in line]
    return found


def _name(requirement: str) -> str:
    """Return the name in a requirement such as `botocore<1.45.0,>=1.44.5`."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match
    return match.group()
