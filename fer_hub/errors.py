"""The one exception that stands for a mistake of the user or of the surroundings (network, disk)."""


class UserError(ValueError):
    """A mistake that the user can mend: the message says what is wrong, where, and the line that fixes it.

    Command lines print the message alone and exit with status 2; a traceback would hide it.
    """
