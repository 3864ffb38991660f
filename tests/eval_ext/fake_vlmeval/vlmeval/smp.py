"""Where data lies, and how predictions are read."""

import os
from pathlib import Path


def LMUDataRoot():
    said = os.environ.get("LMUData")  # noqa: SIM112 (its name)
    return said if said and Path(said).exists() else str(Path.home() / "LMUData")


def load(file):
    import pandas

    return pandas.read_csv(file, sep="\t")
