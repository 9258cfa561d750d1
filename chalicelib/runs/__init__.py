"""The use cases: plain functions and classes that know neither HTTP nor AWS; what they talk to is passed in."""
