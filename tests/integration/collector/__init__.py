"""The collector, with a real ledger."""
