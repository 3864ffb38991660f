"""Starts the real `transformers serve`: `python -m tests.backends.serve FOLDER --port N`.

Beside a torchvision whose compiled half does not load (see tests/torchvision_shim.py) pictures are decoded by Pillow;
apart from that, this is the command itself.
"""

from __future__ import annotations

import sys
from typing import Any


def decode_with_pillow(data: Any, mode: Any = None, *, apply_exif_orientation: bool = False) -> Any:
    """What `torchvision.io.decode_image` does with an RGB picture: a tensor of shape (3, height, width)."""
    import io

    import numpy
    import torch
    from PIL import Image

    pixels = numpy.array(Image.open(io.BytesIO(data.numpy().tobytes())).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def main() -> None:
    import torchvision.io
    from torchvision.io import image
    from transformers.cli.transformers import main as transformers_command

    try:
        image._assert_has_image_ops()
    except RuntimeError:
        torchvision.io.decode_image = decode_with_pillow
    sys.argv = ["transformers", "serve", *sys.argv[1:], "--host", "127.0.0.1", "--device", "cpu"]
    transformers_command()


if __name__ == "__main__":
    main()
