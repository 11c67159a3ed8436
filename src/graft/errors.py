"""The exceptions a user sees. Each is one clear sentence that ends with the repair; the command line exits with 2."""


class GraftError(Exception):
    """Base of everything that the user can mend. str(error) is what is printed: what is wrong, then what to do."""


class DataError(GraftError):
    """The data cannot be used as they are: missing, empty, one class, unreadable, contradictory."""


class OptionError(GraftError):
    """An unknown name, option or value; carries a did-you-mean where one is near."""


class WeightsError(GraftError):
    """Weights are missing, of another network, or need unpickling."""


class OutputError(GraftError):
    """The output folder cannot be written, is not empty, or the disk is full."""


class TrainingError(GraftError):
    """Training cannot go on: a loss that is not finite, or memory that is too small even for one sample."""


class Stopped(GraftError):
    """The user stopped the run (Ctrl-C); it can be resumed."""


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """ " Did you mean 'x'?" for the nearest known name, or the list of known ones where none is near."""
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f" Did you mean '{close[0]}'?"
    shown = ", ".join(sorted(known)[:12])
    return f" Known: {shown}{f' and {len(known) - 12} more' if len(known) > 12 else ''}."
