"""The one exception for mistakes that the person at the keyboard can mend."""


class UserError(Exception):
    """One sentence: the file, what is wrong with it and what to do. The command line prints it and exits with 2."""
