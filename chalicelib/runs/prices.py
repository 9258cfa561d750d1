"""AWS's prices, the only place that holds them.

On-demand list prices in US dollars for us-east-1, without free tiers and discounts, as of November 2025. Those of
Lambda, Step Functions and DynamoDB were the same in public copies of 2026. Other regions differ by some per cent.
"""

from typing import NamedTuple

AS_OF = "November 2025"


class Price(NamedTuple):
    """What one of `unit` costs in US dollars, and the page that says so."""

    dollars: float
    unit: str
    page: str


PRICES = {
    "lambda_requests": Price(0.20e-6, "request", "aws.amazon.com/lambda/pricing"),
    "lambda_gb_seconds": Price(16.6667e-6, "GB-second (x86)", "aws.amazon.com/lambda/pricing"),
    "standard_transitions": Price(25e-6, "state transition", "aws.amazon.com/step-functions/pricing"),
    "express_requests": Price(1e-6, "request", "aws.amazon.com/step-functions/pricing"),
    "express_gb_seconds": Price(16.67e-6, "GB-second", "aws.amazon.com/step-functions/pricing"),
    "dynamodb_writes": Price(0.625e-6, "write request unit", "aws.amazon.com/dynamodb/pricing/on-demand"),
    "dynamodb_reads": Price(0.125e-6, "read request unit", "aws.amazon.com/dynamodb/pricing/on-demand"),
    "s3_puts": Price(5e-6, "PUT", "aws.amazon.com/s3/pricing"),
    "s3_gets": Price(0.4e-6, "GET", "aws.amazon.com/s3/pricing"),
    "log_gb": Price(0.50, "GB ingested", "aws.amazon.com/cloudwatch/pricing"),
    "traces": Price(5e-6, "trace", "aws.amazon.com/xray/pricing"),
    "mails": Price(2e-5, "mail", "aws.amazon.com/sns/pricing"),
    "api_requests": Price(3.50e-6, "REST API request", "aws.amazon.com/api-gateway/pricing"),
    "kms_requests": Price(3e-6, "request", "aws.amazon.com/kms/pricing"),
    "table_gb_months": Price(0.25, "GB and month", "aws.amazon.com/dynamodb/pricing/on-demand"),
    "backup_gb_months": Price(0.20, "GB and month", "aws.amazon.com/dynamodb/pricing/on-demand"),
    "s3_gb_months": Price(0.023, "GB and month", "aws.amazon.com/s3/pricing"),
    "log_gb_months": Price(0.03, "GB and month", "aws.amazon.com/cloudwatch/pricing"),
}

# Each month, whether anything fails or not.
CUSTOM_METRIC = Price(0.30, "custom metric and month", "aws.amazon.com/cloudwatch/pricing")
ALARM_METRIC = Price(0.10, "metric of an alarm and month", "aws.amazon.com/cloudwatch/pricing")
SECRET = Price(0.40, "secret and month", "aws.amazon.com/secrets-manager/pricing")
