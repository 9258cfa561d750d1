"""The embedded AWS, with a small app deployed to it."""
