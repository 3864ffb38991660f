"""What a backend that runs a model in this process keeps once it has been asked."""

from __future__ import annotations

import threading
from pathlib import Path

from unireward_plugins.backends.checkpoint import Checkpoint
from unireward_plugins.backends.fingerprint import fingerprint


class Loaded:
    """What a backend builds on first use. Pickles as an empty one, so that a backend travels without its model."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.checkpoint: Checkpoint | None = None
        self.revision: str | None = None
        self.budget: int | None = None
        """The budget of tokens that memory has taught, once it ran out."""

    def __reduce__(self) -> tuple[type[Loaded], tuple[()]]:
        return Loaded, ()

    def weights(self, model: str | Path, hub_revision: str | None) -> str:
        """The `fingerprint` of the backend's checkpoint, found out once."""
        if self.revision is None:
            self.revision = fingerprint(str(model), hub_revision)
        return self.revision
