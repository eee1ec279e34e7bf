"""The settings: one `outcrop.toml`, environment variables over it, flags over both; checked once, here.

The file is the one that is named (`--config`, `OUTCROP_CONFIG`), else `./outcrop.toml`, else `outcrop.toml`
in the user's configuration folder; having none is fine. A secret never stands in the file: it is named there,
as `env:NAME` or `file:/path`.
"""

from outcrop.config.choosing import missing_secrets
from outcrop.config.placing import warnings
from outcrop.config.reading import Loaded, Origin, Setting, catalogue, check, default_data_folder, load, shown
from outcrop.config.settings import (
    Bedrock,
    Data,
    Engine,
    Local,
    Messages,
    Placed,
    Scripted,
    Secret,
    Server,
    Settings,
    is_loopback,
)

__all__ = [
    "Bedrock",
    "Data",
    "Engine",
    "Loaded",
    "Local",
    "Messages",
    "Origin",
    "Placed",
    "Scripted",
    "Secret",
    "Server",
    "Setting",
    "Settings",
    "catalogue",
    "check",
    "default_data_folder",
    "is_loopback",
    "load",
    "missing_secrets",
    "shown",
    "warnings",
]
