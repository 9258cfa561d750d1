"""What people are told about runs: when, and in which words."""
