"""The exceptions whose message is for people: command lines print it alone, where a traceback would hide it."""


class UserError(ValueError):
    """A mistake that the user can mend: the message says what is wrong, where, and the line that fixes it.

    Command lines exit with status 2.
    """


class HubError(UserError):
    """The Hub could not do what it was asked, and nothing in the command is wrong.

    Command lines exit with status 1: the same line may succeed later.
    """
