"""The one exception a user ever sees."""


class NlcliError(Exception):
    """A failure reported as one sentence: what is wrong, where, and what to do.

    The command line prints the sentence and exits with 1; from Python it is raised as it is.
    """
