"""The files that a function runs from: its unzipped package, and the libraries that Lambda's own Python has."""

import hashlib
import io
import re
import threading
import zipfile
from importlib import metadata
from pathlib import Path

PROVIDED = ("boto3", "awslambdaric")


class Packages:
    """Unzips each deployed package once. Everything lies below one directory, which its owner removes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self.provided = directory / "provided"
        self.scratch = directory / "tmp"
        self.scratch.mkdir()
        _link_provided(self.provided)

    def unzipped(self, code: bytes) -> Path:
        """Where this zip file's content lies."""
        root = self._directory / hashlib.sha256(code).hexdigest()
        with self._lock:
            if not root.exists():
                with zipfile.ZipFile(io.BytesIO(code)) as package:
                    package.extractall(root)
        return root


def _link_provided(directory: Path) -> None:
    """Link boto3 and the runtime client out of our environment and nothing else of it.

    A package that forgot one of its own requirements so fails here as it would on AWS.
    """
    directory.mkdir()
    for name in _with_requirements(PROVIDED):
        distribution = metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}
        for top in tops:
            (directory / top).symlink_to(Path(str(distribution.locate_file(top))).resolve())


def _with_requirements(names: tuple[str, ...]) -> set[str]:
    """Close the set of distributions over what they require."""
    found: set[str] = set()
    open_names = list(names)
    while open_names:
        name = open_names.pop()
        if name not in found:
            found.add(name)
            open_names += [_name(line) for line in metadata.requires(name) or [] if "extra ==" not in line]
    return found


def _name(requirement: str) -> str:
    """Take the name off a requirement such as `botocore<1.45.0,>=1.44.5`."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match
    return match.group()
