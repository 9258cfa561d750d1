"""Runs the whole system: comms-reprocess on the embedded AWS, the reference application and its providers."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sandbox import project
from sandbox.application import ReferenceApplication
from sandbox.deployed import PREFIX, Deployed
from sandbox.mailbox import Mailbox
from sandbox.providers import SmsProvider


class System(Deployed):
    """The whole sandbox, with its files in `folder`.

    `settings` are environment variables of the stage. `toml` replaces the reference application's application.toml.
    `application` are options of the reference application. `email` and `sms` are its providers.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, str] | None = None, toml: str | None = None, **application: Any
    ) -> None:
        super().__init__(folder)
        self.email = Mailbox()
        self.sms = SmsProvider()
        self._settings = dict(settings or {})
        self._application_toml = toml or project.APPLICATION_TOML.read_text(encoding="utf-8")
        self._application_options = application

    def _start_all(self, stack: ExitStack) -> None:
        super()._start_all(stack)
        for provider in (self.email, self.sms):
            stack.enter_context(provider)
        smtp = (self.email.host, self.email.port)
        self.application = stack.enter_context(
            ReferenceApplication(self.folder, self.aws.environment(), smtp, self.sms.url, **self._application_options)
        )

    def deploy(self) -> str:
        """Deploy comms-reprocess for the reference application, and return what deploy.py printed."""
        secret = f"{PREFIX}-application"
        self.client("secretsmanager").create_secret(Name=secret, SecretString=self.application.token)
        settings = {"APPLICATION_URL": self.application.url, "APPLICATION_SECRET": secret, "COOL_DOWN": "1m"}
        self.configure(settings | self._settings, self._application_toml)
        return super().deploy()

    def deploy_again(self) -> str:
        """Run the same deployment again."""
        return super().deploy()
