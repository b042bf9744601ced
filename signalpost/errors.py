"""Errors named by what the caller should do next.

``SignalpostError``
├── ``BadInputError``       the caller must change what it sent
├── ``ConflictError``       the same id came with another body, or the state moved on
├── ``NotFoundError``       there is nothing by that id
├── ``ConfigurationError``  the operator must change a setting or a file
├── ``TransientError``      try again later
└── ``PermanentError``      trying again will not help
"""


class SignalpostError(Exception):
    """Something went wrong in Signalpost."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__ or type(self).__name__)


class BadInputError(SignalpostError):
    """The input is not acceptable; the message says what is wrong, where, and what to do."""


class ConflictError(SignalpostError):
    """The request contradicts what is already on the record."""


class NotFoundError(SignalpostError):
    """There is nothing by that id."""


class ConfigurationError(SignalpostError):
    """A setting, template or journey file is wrong; an operator must change it."""


class TransientError(SignalpostError):
    """It did not work this time; it is safe to try again later."""


class PermanentError(SignalpostError):
    """It did not work and will not work by trying again."""
