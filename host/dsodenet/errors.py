"""Errors a user can act on: one clear sentence each, naming what was given and what is allowed."""


class DsodenetError(Exception):
    """Base of every error this package raises on purpose; the command line turns it into exit status 2."""


class SpecError(DsodenetError, ValueError):
    """A specification, format or solver that cannot be built."""


class InputError(DsodenetError, ValueError):
    """Images, files or options that do not fit the specification."""


class RunError(DsodenetError):
    """A run folder that is missing, half-written, edited, or from another version of its model."""


class ToolError(DsodenetError):
    """A program or library that this step needs and that is not installed."""


class DeviceError(DsodenetError, RuntimeError):
    """The accelerator (or its simulation) refused, failed or did not answer in time."""
