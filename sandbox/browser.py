"""A Chromium for tests and screenshots, out of an npm package: the machine needs no browser of its own."""

import fcntl
import io
import json
import os
import platform
import shutil
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import brotli
from playwright.sync_api import Browser, sync_playwright

from sandbox.project import ROOT

_PACKAGE = ROOT / "node_modules" / "@sparticuz" / "chromium"
_FOLDER = ROOT / ".sandbox"

# Without such a file, Chromium draws no text where fontconfig is not installed.
_FONTS_CONF = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""


@contextmanager
def launch() -> Iterator[Browser]:
    """Run Chromium until the `with` ends. The first time, it is unpacked into .sandbox, which takes some seconds.

    Inside the `with`, Playwright's event loop counts as running in this thread, so `asyncio.run` fails.
    """
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not work for root, nor in most containers. It only opens pages of this project.
        browser = playwright.chromium.launch(chromium_sandbox=False, **_options())
        try:
            yield browser
        finally:
            browser.close()


def _options() -> dict[str, Any]:
    """Return where Chromium is, and its environment.

    The package has it for Linux on x86-64 alone. Elsewhere, Playwright starts its own, or says how to install that.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return {}
    folder = unpack(_FOLDER)
    own = {
        "LD_LIBRARY_PATH": str(folder / "lib"),
        "FONTCONFIG_FILE": str(folder / "fonts.conf"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    return {"executable_path": folder / "chromium", "env": os.environ | own}


def unpack(parent: Path) -> Path:
    """Return the folder in `parent` with Chromium, its libraries and fonts; unpack it there if it is missing.

    It appears complete or not at all. Processes that need it at the same time wait for the first, which also removes
    what a killed one has left.
    """
    version = json.loads((_PACKAGE / "package.json").read_text(encoding="utf-8"))["version"]
    folder = parent / f"chromium-{version}"
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / "chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            incomplete = parent / "chromium-incomplete"
            shutil.rmtree(incomplete, ignore_errors=True)
            _fill(incomplete)
            incomplete.rename(folder)
    return folder


def _fill(folder: Path) -> None:
    folder.mkdir()
    for name in ("al2023", "fonts"):
        with tarfile.open(fileobj=io.BytesIO(_decompressed(f"{name}.tar"))) as archive:
            # Python knows such filters from 3.11.4 on. Before, the lock file's hash has to be enough.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(folder)  # noqa: S202
    (folder / "fonts.conf").write_text(_FONTS_CONF, encoding="utf-8")
    chromium = folder / "chromium"
    chromium.write_bytes(_decompressed("chromium"))
    chromium.chmod(0o755)


def _decompressed(name: str) -> bytes:
    content: bytes = brotli.decompress((_PACKAGE / "bin" / f"{name}.br").read_bytes())
    return content
