"""One module at a time; the ledger's tests run against a fake and against DynamoDB."""
