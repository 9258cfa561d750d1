"""What runs in the Lambdas of comms-reprocess."""
