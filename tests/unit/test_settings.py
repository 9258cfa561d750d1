"""The settings of a stage, and the names that derive from its prefix."""

import pytest

from chalicelib import times
from chalicelib.errors import ConfigurationError
from chalicelib.names import AwsLocation, Names
from chalicelib.settings import Settings
from deployment.comms_reprocess import storage

NAMES = Names("mail-prod", AwsLocation("aws-cn", "cn-north-1", "123456789012"))


def test_only_the_resource_prefix_is_required():
    """Every other setting has a default that is safe to start with."""
    settings = Settings.read({"RESOURCE_PREFIX": "mail-prod", "PATH": "/bin"})
    assert settings == Settings(resource_prefix="mail-prod")
    assert settings.retention_ms == times.parse_duration("90d")


def test_a_setting_is_read_from_the_environment_variable_of_its_name():
    """The variable is the field's name in capitals."""
    settings = Settings.read(
        {
            "RESOURCE_PREFIX": "mail-prod",
            "BATCH_SIZE": "10",
            "CONCURRENCY": "5",
            "MAX_ATTEMPTS": "3",
            "MAX_PER_RUN": "1000",
            "BREAKER_BATCHES": "2",
            "RETENTION": "30d",
            "APPROVAL_THRESHOLD": "0",
            "APPROVAL_TIMEOUT": "2h",
            "SCHEDULE": "cron(0 * * * ? *)",
        }
    )
    assert settings == Settings(
        resource_prefix="mail-prod",
        batch_size=10,
        concurrency=5,
        max_attempts=3,
        max_per_run=1000,
        breaker_batches=2,
        retention="30d",
        approval_threshold=0,
        approval_timeout="2h",
        schedule="cron(0 * * * ? *)",
    )


def test_a_missing_setting_is_an_error_that_says_where_to_add_it():
    """The message names the variable."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.read({})
    assert str(caught.value) == (
        "setting RESOURCE_PREFIX is missing: add it to environment_variables in .chalice/config.json"
    )


BAD_URLS = (
    "reprocess.example.com",
    "ftp://reprocess.example.com",
    "https://",
    "https:///api",
    "https://reprocess.example.com/#/",
    "https://reprocess.example.com/?a=b",
    "https://reprocess.example.com/a b",
    "https://reprocess.example.com\n",
    "https://réprocess.example.com",
    "https://reprocess.example.com/" + "a" * 500,
)


@pytest.mark.parametrize("url", ["https://reprocess.example.com", "http://127.0.0.1:8000/_aws/execute-api/a1/api", ""])
def test_the_page_may_have_an_address_of_its_own(url):
    """A slash at its end makes no difference. An empty one is none."""
    for given in (url, url and f"{url}/"):
        assert Settings.read({"RESOURCE_PREFIX": "mail-prod", "PAGE_URL": given}).page_address == url


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("MAX_ATTEMPTS", "0", "Expected `int` >= 1"),
        ("MAX_ATTEMPTS", "-1", "Expected `int` >= 1"),
        ("MAX_ATTEMPTS", "", "Expected `int`, got `str`"),
        ("MAX_ATTEMPTS", "five", "Expected `int`, got `str`"),
        ("MAX_ATTEMPTS", "true", "Expected `int`, got `str`"),
        ("MAX_ATTEMPTS", "2.5", "Expected `int`"),
        ("MAX_ATTEMPTS", "nan", "Expected `int`"),
        ("MAX_PER_RUN", "0", "Expected `int` >= 1"),
        ("BREAKER_BATCHES", "0", "Expected `int` >= 1"),
        ("BATCH_SIZE", "41", "Expected `int` <= 40"),
        ("CONCURRENCY", "1001", "Expected `int` <= 1000"),
        ("CONCURRENCY", "0", "Expected `int` >= 1"),
        ("RETENTION", "90", "'90' is not a duration; write"),
        ("RETENTION", "", "'' is not a duration; write"),
        ("RETENTION", "0d", "must be at least 1d"),
        ("RETENTION", "23h", "must be at least 1d"),
        ("ALARM_OLDEST_FAILURE", "soon", "'soon' is not a duration; write"),
        ("APPROVAL_THRESHOLD", "-1", "Expected `int` >= 0"),
        ("APPROVAL_TIMEOUT", "1 day", "'1 day' is not a duration; write"),
        ("APPROVAL_TIMEOUT", "0s", "must be between 1s and 80d"),
        ("APPROVAL_TIMEOUT", "81d", "must be between 1s and 80d"),
        ("APPROVAL_TIMEOUT", "366d", "must be between 1s and 80d"),
        *(("PAGE_URL", url, "must be where a browser finds the page") for url in BAD_URLS),
    ],
)
def test_an_invalid_setting_is_an_error_that_names_its_rule(name, value, rule):
    """The message begins with the variable and says what it accepts."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.read({"RESOURCE_PREFIX": "mail-prod", name: value})
    assert str(caught.value).startswith(f"setting {name}: {rule}")


@pytest.mark.parametrize(("retention", "timeout"), [("1d", "24h"), ("30d", "30d"), ("30d", "697h"), ("10d", "80d")])
def test_a_run_must_not_be_forgotten_while_it_waits_for_approval(retention, timeout):
    """Nor on the day after that, on which it is sent. The message names both settings."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.read({"RESOURCE_PREFIX": "mail-prod", "RETENTION": retention, "APPROVAL_TIMEOUT": timeout})
    assert str(caught.value).startswith(f"setting RETENTION: must exceed APPROVAL_TIMEOUT ({timeout}) by 1d or more")


def test_a_manifest_outlives_the_longest_wait_for_approval():
    """By some days, in which the run is sent and reported."""
    settings = Settings.read({"RESOURCE_PREFIX": "mail-prod", "APPROVAL_TIMEOUT": "80d"})
    assert settings.approval_timeout_s + 7 * 86_400 < storage.DAYS * 86_400


@pytest.mark.parametrize(
    "prefix", ["ab", "a" * 33, "Mail", "-mail", "mail-", "mail_prod", "mail prod", "mail\n", "mäil", ""]
)
def test_a_prefix_that_aws_would_refuse_in_a_name_is_refused(prefix):
    """The prefix is part of the names of bucket, functions and topics, so it has to be valid in each of them."""
    with pytest.raises(
        ConfigurationError, match="setting RESOURCE_PREFIX: must be 3 to 32 lower-case letters, digits and"
    ):
        Settings.read({"RESOURCE_PREFIX": prefix})


def test_every_resource_name_derives_from_the_prefix_and_the_location():
    """No ARN assumes the partition `aws`."""
    assert NAMES.table == "mail-prod"
    assert NAMES.bucket == "mail-prod-123456789012-cn-north-1"
    assert NAMES.function("record") == "mail-prod-record"
    assert NAMES.function_arn("record") == "arn:aws-cn:lambda:cn-north-1:123456789012:function:mail-prod-record"
    assert NAMES.state_machine_arn == "arn:aws-cn:states:cn-north-1:123456789012:stateMachine:mail-prod"
    assert NAMES.execution_arn("r-1") == "arn:aws-cn:states:cn-north-1:123456789012:execution:mail-prod:r-1"
    assert NAMES.succeeded_topic_arn == "arn:aws-cn:sns:cn-north-1:123456789012:mail-prod-succeeded"
    assert NAMES.activity_arn("exams") == "arn:aws-cn:states:cn-north-1:123456789012:activity:mail-prod-exams"
    assert NAMES.named("") == "mail-prod"
    assert NAMES.failed_topic_arn == "arn:aws-cn:sns:cn-north-1:123456789012:mail-prod-failed"


def test_the_longest_prefix_gives_names_that_aws_accepts():
    """S3 accepts 63 characters, Lambda 64 (AWS documentation, "Bucket naming rules" and "Lambda quotas")."""
    names = Names("p" * 32, AwsLocation("aws", "ap-southeast-1", "123456789012"))
    assert len(names.bucket) <= 63
    assert len(names.function("request_approval")) <= 64


@pytest.mark.parametrize("tail", ["function:mail-prod-record", "function:mail-prod-record:live", "mail-prod"])
def test_the_aws_location_is_read_from_any_arn(tail):
    """A Lambda function learns from its own ARN where it runs, with or without an alias."""
    assert AwsLocation.of(f"arn:aws-cn:lambda:cn-north-1:123456789012:{tail}") == NAMES.location
