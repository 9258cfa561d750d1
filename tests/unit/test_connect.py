"""docs/connect.md: its examples work as they are printed, and it names every key that there is."""

import re

import pytest

from chalicelib.application import config_file
from chalicelib.application.config import Auth, Filter, Next, Reprocess, Source
from sandbox.project import ROOT

TEXT = (ROOT / "docs" / "connect.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
ENVIRONMENT = {"APPLICATION_URL": "https://app.example.com", "APPLICATION_SECRET": "prod/app", "COOL_DOWN": "1h"}


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_is_a_whole_configuration(example, tmp_path):
    """Who copies one has a file that is read without a complaint, within the default RETENTION."""
    file = tmp_path / "application.toml"
    file.write_text(example)
    config_file.read(ENVIRONMENT, file, retention=90 * 86_400_000)


@pytest.mark.parametrize("kind", [Source, Next, Filter, Reprocess, Auth])
def test_every_key_is_named(kind):
    """A key that nobody reads of is not used."""
    missing = [name for name in kind.__struct_fields__ if not re.search(rf"\b{name}\b", TEXT)]
    assert missing == []


def test_the_reference_applications_own_configuration_is_short():
    """Two lists that page differently, the POST and the credentials, in under 40 lines."""
    file = ROOT / "sandbox" / "application" / "application.toml"
    it = config_file.read(ENVIRONMENT, file)
    assert [source.operation for source in it.sources] == ["send.email", "send.sms"]
    assert len(file.read_text().splitlines()) < 40
