"""Errors that are the user's to mend.

Every message is one line that names the file, the key, what was found and what was expected.
The command line prints it without a traceback and exits with code 2.
"""


class TricordError(Exception):
    """Base of all errors that a user can mend."""


class DataError(TricordError):
    """A data file that cannot be used as it is."""


class ConfigError(TricordError):
    """A setting that does not exist or does not fit."""


class ModelError(TricordError):
    """A model folder or state that does not fit what it is used for."""


class SealedSplitError(TricordError):
    """Something tried to look at the test split during training or selection."""
