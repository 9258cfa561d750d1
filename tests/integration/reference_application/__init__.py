"""The reference application, with real providers and a real SQS (moto's)."""
