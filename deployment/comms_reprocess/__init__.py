"""What only comms-reprocess has of a deployment: its resources and permissions, its checks, and commands of its own."""
