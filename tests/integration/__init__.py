"""Several modules together: real HTTP servers, the embedded AWS, the reference application, property tests."""
