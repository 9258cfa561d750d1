"""All tests, and the fakes and servers that they share."""
