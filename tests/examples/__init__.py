"""The example workflows, each deployed to the embedded AWS once for its file, and broken there."""
