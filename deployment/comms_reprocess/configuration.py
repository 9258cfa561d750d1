"""The settings of a stage, and the application.toml that is deployed with it."""

from pathlib import Path

from chalicelib.application import config_file
from chalicelib.application.config import Configuration
from chalicelib.settings import Settings
from deployment.stage import Stage


def settings(stage: Stage) -> Settings:
    """Return the settings of a stage. ConfigurationError names the first one that is missing or wrong."""
    return Settings.read(stage.environment)


def application_toml(stage: Stage) -> Path:
    """Return the description of the application that is deployed with a stage."""
    return stage.project / "chalicelib" / "application.toml"


def application(stage: Stage) -> Configuration:
    """Return what application.toml says. ConfigurationError says what is wrong with it."""
    return config_file.read(stage.environment, application_toml(stage), settings(stage).retention_ms)
