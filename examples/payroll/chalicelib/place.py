"""Where this deployment lives: what its resources are called."""

import os
from typing import NamedTuple


class Place(NamedTuple):
    """The prefix of all names, and the location."""

    prefix: str
    partition: str
    region: str
    account: str

    @classmethod
    def of(cls, function_arn: str) -> "Place":
        """Return the place that a function of the deployment lives in."""
        _, partition, _, region, account, *_ = function_arn.split(":")
        return cls(os.environ["RESOURCE_PREFIX"], partition, region, account)

    @property
    def bucket(self) -> str:
        """The name of the bucket."""
        return f"{self.prefix}-{self.account}-{self.region}"

    @property
    def state_machine(self) -> str:
        """The ARN of the state machine."""
        return f"arn:{self.partition}:states:{self.region}:{self.account}:stateMachine:{self.prefix}"

    def execution(self, name: str) -> str:
        """Return the ARN of an execution."""
        return f"arn:{self.partition}:states:{self.region}:{self.account}:execution:{self.prefix}:{name}"
