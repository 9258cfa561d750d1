"""The client of the application, over real connections."""
