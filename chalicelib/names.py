"""What everything of a deployment is called in AWS. The only place that builds ARNs."""

import msgspec

# What a prefix has to match. Short enough for a bucket name of 63 characters with account and region, and for Lambda's
# function names of 64.
PREFIX = r"^[a-z0-9][a-z0-9-]{1,30}[a-z0-9]\Z"
PREFIX_RULE = "must be 3 to 32 lower-case letters, digits and hyphens, and neither start nor end with a hyphen"


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

    def named(self, name: str) -> str:
        """Return the full name of something that has this short one in the deployment, if any."""
        return f"{self.prefix}-{name}" if name else self.prefix

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
        return self.topic_arn("succeeded")

    @property
    def failed_topic_arn(self) -> str:
        """The ARN of the topic for everything that somebody should look at."""
        return self.topic_arn("failed")

    @property
    def alarms_topic_arn(self) -> str:
        """The ARN of the topic that CloudWatch's alarms publish to."""
        return self.topic_arn("alarms")

    def topic_arn(self, name: str) -> str:
        """Return the ARN of a topic."""
        return self.arn("sns", self.named(name))

    def activity_arn(self, name: str) -> str:
        """Return the ARN of a Step Functions activity."""
        return self.arn("states", f"activity:{self.named(name)}")

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
