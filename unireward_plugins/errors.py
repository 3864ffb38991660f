"""The errors that users of this project meet.

    Exception
    ├── ValueError
    │   └── UniRewardError          bad input: the message names the thing, the value and the way out
    │       ├── MediaError          a picture or clip that cannot be read
    │       └── UnsupportedCase     a judge or rubric that cannot judge what it was given
    ├── ImportError
    │   └── MissingExtra            an optional dependency is not installed
    └── RuntimeError
        └── BackendError            the model behind a judge cannot be reached, or failed

A reply that holds no verdict is *not* an error: it is `Verdict(scores=None)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches


class UniRewardError(ValueError):
    """Bad input; the message says which thing, which value, and what would be right."""


class MediaError(UniRewardError):
    """A picture or clip that cannot be read, or that would have to be fetched from the network."""


class UnsupportedCase(UniRewardError):
    """A judge or a rubric was given a case that it was not made for."""


class MissingExtra(ImportError):
    """A feature needs a package that is not installed; the message holds the install command."""


class BackendError(RuntimeError):
    """The model behind a judge cannot be loaded or reached, or failed while it answered."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'beta'?`, to follow on "there is no setting 'bta'."; nothing where no known name is near."""
    spelt = {one.lower(): one for one in known}
    near = get_close_matches(name.lower(), spelt, n=1)
    return f" Did you mean {spelt[near[0]]!r}?" if near else ""


@contextmanager
def needs_extra(feature: str, extra: str) -> Iterator[None]:
    """Turn an ImportError inside the block into a `MissingExtra` that names the command to run.

    `feature` is what the user asked for, `extra` the extra of this distribution that brings it.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtra(
            f"{feature} needs a package that is not installed ({error}). "
            f"Install it with: pip install 'unireward-plugins[{extra}]'"
        ) from error
