"""The licence of what is published: one that the Hub knows, in the card's metadata and in its text."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from unireward_plugins.errors import UniRewardError, did_you_mean

UNKNOWN = "Licence: none is named. Ask whoever made this before you use it."
"""What a card says where nobody named a licence."""


def licence_line(licence: str) -> str:
    """What a card says of a licence, or of there being none."""
    return f"Licence: `{licence}`." if licence else UNKNOWN


def with_licence(card: str, licence: str) -> str:
    """A card with that licence, in its metadata and where its text speaks of it."""
    from huggingface_hub import RepoCard

    named: Any = RepoCard(card)
    before = named.data.get("license")
    named.data.license = licence
    return str(named).replace(licence_line(before if isinstance(before, str) else ""), licence_line(licence))


def check_licence(licence: str, known: Collection[str]) -> None:
    """Raise `UniRewardError` for a licence that the Hub does not know, with the nearest ones.

    `known` are the Hub's identifiers (https://huggingface.co/docs/hub/repositories-licenses); none are known where the
    Hub lists none, and it will say so itself when it gets the card.
    """
    if not known or licence in known:
        return
    near = did_you_mean(licence.replace(" ", "-"), sorted(known))
    raise UniRewardError(
        f"the Hub knows no licence {licence!r}.{near} Give an identifier such as cc-by-4.0 "
        "(https://huggingface.co/docs/hub/repositories-licenses), or other"
    )
