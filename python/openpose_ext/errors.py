"""The exceptions of this package.

OpenPoseExtError
├── ModelError      the model was not found, or the file is not a model (exit code 3)
├── BackendError    an engine is missing or refuses the network (exit code 3)
├── SourceError     a picture cannot be read (exit code 1: the others go on)
└── OutputError     a result cannot be written (exit code 4)

Wrong arguments stay `ValueError` and `TypeError`; a command line that makes no sense is a
`UsageError` (exit code 2).
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "ModelError",
    "OpenPoseExtError",
    "OutputError",
    "SourceError",
    "SourceWarning",
    "UsageError",
]


class OpenPoseExtError(Exception):
    """Base class of all errors of this package except wrong arguments."""


class ModelError(OpenPoseExtError):
    """A model was not found, is not a model, or does not fit its use."""


class BackendError(OpenPoseExtError):
    """An inference engine is not installed, or refuses the network or the device."""


class SourceError(OpenPoseExtError):
    """An input cannot be read; other inputs are not affected."""


class SourceWarning(UserWarning):
    """An input was read, but something about it is wrong."""


class OutputError(OpenPoseExtError):
    """A result cannot be written where it was asked for."""


class UsageError(Exception):
    """The command line asks for something impossible."""
