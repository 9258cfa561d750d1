"""The records with which a project's `description.py` says what it consists of.

Names in them are short: the stage's prefix comes before each in AWS, so that a stage's resources are never another's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chalicelib.names import Names
from deployment.alarms import Alarm
from deployment.clients import Clients
from deployment.iam_policy import Json

__all__ = ["Alarm", "Bucket", "Description", "Function", "Index", "Page", "StateMachine", "Table"]

# What Chalice calls the function of the HTTP API in config.json and in the name of its role.
API = "api_handler"

# The topic that alarms publish to.
ALARMS = "alarms"

# Among the permissions: what the deploying identity needs besides what every deployment does.
DEPLOYER = "deployer"


@dataclass(frozen=True)
class Function:
    """A function in app.py. `handler` is what Lambda calls, if the Python function is not called like the Lambda.

    `scheduled`: a rule fires it. `authorizer`: API Gateway asks it who may call. `retried`: Lambda invokes it again if
    an asynchronous invocation fails.
    """

    handler: str = ""
    scheduled: bool = False
    authorizer: bool = False
    retried: bool = True


@dataclass(frozen=True)
class Index:
    """A global secondary index that contains whole items: its name and its keys."""

    name: str
    partition: str
    sort: str = ""


@dataclass(frozen=True)
class Table:
    """A DynamoDB table and its keys, which are strings but for `numbers`. Without a name, it has the stage's.

    `ttl` is the attribute by which items expire. `commands` are the actions on items that commands of deploy.py need,
    `queried` the indexes that they query. `logical_id` is its name in a template, unless that follows from the name.
    """

    name: str = ""
    partition: str = "pk"
    sort: str = ""
    numbers: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    ttl: str = ""
    commands: str = ""
    queried: tuple[str, ...] = ()
    logical_id: str = ""

    def full_name(self, names: Names) -> str:
        """Return what it is called in AWS."""
        return names.named(self.name)

    def arn(self, names: Names) -> str:
        """Return its ARN."""
        return names.arn("dynamodb", f"table/{self.full_name(names)}")


@dataclass(frozen=True)
class Bucket:
    """A private S3 bucket. `expiry` says after how many days objects are deleted, by the prefix of their keys.

    Without a name, it has the stage's. `logical_id` is its name in a template, unless that follows from the name.
    """

    name: str = ""
    expiry: Mapping[str, int] = field(default_factory=dict)
    logical_id: str = ""

    def full_name(self, names: Names) -> str:
        """Return what it is called in AWS."""
        return Names(names.named(self.name), names.location).bucket

    def arn(self, names: Names) -> str:
        """Return its ARN, which names neither region nor account."""
        return Names(names.named(self.name), names.location).bucket_arn


class NotedAddress(Protocol):
    """Where those who write mails look up the page's address."""

    def read(self) -> str | None:
        """Return the address; None if it was never noted."""

    def write(self, url: str) -> None:
        """Note the address."""


@dataclass(frozen=True)
class Page:
    """The page that the HTTP API serves to people, and that mails and alarms name.

    `url` is its address where a custom domain has it, which API Gateway does not tell; otherwise it follows from the
    API's. `noted` returns where deploy.py notes the address. A template gives it to the functions `senders` instead.
    """

    url: str
    noted: Callable[[Clients], NotedAddress]
    senders: tuple[str, ...]


@dataclass(frozen=True)
class StateMachine:
    """The state machine of `statemachine.json`: the values of its placeholders, and what its states may do.

    `${ChildExecutionType}` has a value in any case. Every state machine may write its log and its traces.
    """

    placeholders: Mapping[str, str]
    statements: Sequence[Json]


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a project consists of, in one stage and at one location.

    `functions` are those of app.py by their names there; `api_handler` is the HTTP API. `permissions` returns the
    statements of each function that needs more than its log, and under `deployer` what the deploying identity needs
    besides. It is called late, because it may need files that only some commands read; ConfigurationError says what is
    wrong with them.
    `topics` are for people's mails; alarms have one of their own.

    Small projects need none of the following. `version` is the one that `GET /health` will return, `follows_from`
    the file that the permissions depend on. `check` raises ConfigurationError if the stage must not be deployed,
    `warning` returns a sentence to print before it is. `status` returns the rows of `deploy.py status`, `commands` are
    the commands of deploy.py that only this project has.
    """

    functions: Mapping[str, Function]
    permissions: Callable[[], Mapping[str, Sequence[Json]]]
    state_machine: StateMachine
    tables: Sequence[Table] = ()
    buckets: Sequence[Bucket] = ()
    topics: Sequence[str] = ()
    activities: Sequence[str] = ()
    alarms: Sequence[Alarm] = ()
    page: Page | None = None
    version: str = ""
    follows_from: str = "description.py"
    check: Callable[[], None] = lambda: None
    warning: Callable[[Clients], str | None] = lambda _: None
    status: Callable[[Clients], Iterable[tuple[str, str]]] | None = None
    commands: tuple[str, ...] = ()

    @property
    def has_api(self) -> bool:
        """Whether it has an HTTP API."""
        return API in self.functions

    @property
    def all_topics(self) -> list[str]:
        """The topics for people's mails, and that of the alarms."""
        return [*self.topics, *([ALARMS] if self.alarms else [])]

    def handler(self, function: str) -> str:
        """Return what Lambda calls for a function."""
        return self.functions[function].handler or f"app.{function}"

    @property
    def scheduled(self) -> list[str]:
        """The functions that a schedule fires."""
        return [name for name, function in self.functions.items() if function.scheduled]

    @property
    def invoked(self) -> list[str]:
        """The functions that API Gateway and EventBridge invoke, and so have to be allowed to."""
        return [
            name
            for name, function in self.functions.items()
            if name == API or function.authorizer or function.scheduled
        ]

    @property
    def not_retried(self) -> list[str]:
        """The functions that Lambda must not invoke again."""
        return [name for name, function in self.functions.items() if not function.retried]
