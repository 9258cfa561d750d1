"""docs/connect.md: its examples work as they are printed, and it names every key of `application.toml`."""

import re

import pytest

from chalicelib.application import config_file
from chalicelib.application.config import Auth, Filter, Next, Reprocess, Source
from sandbox.project import ROOT

TEXT = (ROOT / "docs" / "connect.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
ENVIRONMENT = {"APPLICATION_URL": "https://app.example.com", "APPLICATION_SECRET": "prod/app", "COOL_DOWN": "1h"}


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_in_connect_md_is_a_complete_configuration(example, tmp_path):
    """You can copy it as it is, and it works with the default RETENTION."""
    file = tmp_path / "application.toml"
    file.write_text(example)
    config_file.read(ENVIRONMENT, file, retention=90 * 86_400_000)


@pytest.mark.parametrize("kind", [Source, Next, Filter, Reprocess, Auth])
def test_connect_md_names_every_key_of_application_toml(kind):
    """People do not use a key that they never read about."""
    missing = [name for name in kind.__struct_fields__ if not re.search(rf"\b{name}\b", TEXT)]
    assert missing == []


def test_the_configuration_for_the_reference_application_has_under_40_lines():
    """That is enough for two lists that page differently, the POST and the credentials."""
    file = ROOT / "sandbox" / "application" / "application.toml"
    configuration = config_file.read(ENVIRONMENT, file)
    assert [source.operation for source in configuration.sources] == ["send.email", "send.sms"]
    assert len(file.read_text().splitlines()) < 40
