"""The documents, and `make docs`, which generates the parts of them that must not drift from the code."""
