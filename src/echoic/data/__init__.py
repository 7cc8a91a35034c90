"""Signals: data sets by name, and the user's own files."""

from echoic.data.catalogue import REGISTRY
from echoic.data.download import DownloadError, fetch
from echoic.data.loaders import load
from echoic.data.registry import verify
from echoic.data.series import DataError, DataNotFoundError, Series

__all__ = [
    "REGISTRY",
    "DataError",
    "DataNotFoundError",
    "DownloadError",
    "Series",
    "fetch",
    "load",
    "verify",
]
