"""What everything of a deployment is called in AWS. The only place that builds ARNs."""

import msgspec


class AwsLocation(msgspec.Struct, frozen=True):
    """The partition, region and account that a deployment lives in."""

    partition: str
    region: str
    account: str

    @classmethod
    def of(cls, arn: str) -> "AwsLocation":
        """Return the location that an ARN (`arn:partition:service:region:account:...`) names."""
        _, partition, _, region, account, *_ = arn.split(":")
        return cls(partition, region, account)


class Names(msgspec.Struct, frozen=True):
    """The names of a deployment's resources, all derived from `RESOURCE_PREFIX` and the location."""

    prefix: str
    location: AwsLocation

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource that belongs to the deployment's region and account."""
        return f"arn:{self.location.partition}:{service}:{self.location.region}:{self.location.account}:{resource}"

    @property
    def table(self) -> str:
        """The name of the ledger's table."""
        return self.prefix

    @property
    def table_arn(self) -> str:
        """The ARN of the ledger's table."""
        return self.arn("dynamodb", f"table/{self.table}")

    @property
    def bucket(self) -> str:
        """The name of the bucket; it includes account and region because bucket names are global."""
        return f"{self.prefix}-{self.location.account}-{self.location.region}"

    @property
    def bucket_arn(self) -> str:
        """The ARN of the bucket, which names neither region nor account."""
        return f"arn:{self.location.partition}:s3:::{self.bucket}"

    @property
    def state_machine_arn(self) -> str:
        """The ARN of the state machine."""
        return self.arn("states", f"stateMachine:{self.prefix}")

    def execution_arn(self, run_id: str) -> str:
        """Return the ARN of a run's execution."""
        return self.arn("states", f"execution:{self.prefix}:{run_id}")

    @property
    def succeeded_topic_arn(self) -> str:
        """The ARN of the topic for runs in which everything was accepted."""
        return self.arn("sns", f"{self.prefix}-succeeded")

    @property
    def failed_topic_arn(self) -> str:
        """The ARN of the topic for everything that somebody should look at."""
        return self.arn("sns", f"{self.prefix}-failed")

    @property
    def alarms_topic_arn(self) -> str:
        """The ARN of the topic that CloudWatch's alarms publish to."""
        return self.arn("sns", f"{self.prefix}-alarms")

    def function(self, name: str) -> str:
        """Return the name of a Lambda function, as Chalice gives it."""
        return f"{self.prefix}-{name}"

    def function_arn(self, name: str) -> str:
        """Return the ARN of a Lambda function."""
        return self.arn("lambda", f"function:{self.function(name)}")

    def log_group_arn(self, group: str) -> str:
        """Return the ARN of a log group with its streams.

        Policies and Step Functions expect this form, with `:*` (CloudWatch Logs User Guide, "Log group ARNs").
        """
        return self.arn("logs", f"log-group:{group}:*")

    def role_arn(self, name: str) -> str:
        """Return the ARN of an IAM role; IAM is global, so the ARN names no region."""
        return f"arn:{self.location.partition}:iam::{self.location.account}:role/{name}"
