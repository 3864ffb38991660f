"""Makes a torchvision that was built for CUDA importable beside a CPU build of torch, in the environment of the tests.

PyPI has no CPU build of torchvision for Linux. Beside a CPU torch its import fails ("operator torchvision::nms does not
exist"), and with it every processor of transformers that handles clips. Declaring the two missing operators is enough
for everything that these tests use; `ops.nms` and `io.decode_jpeg` stay unusable.

`python tests/torchvision_shim.py` looks whether torchvision imports, and only if it fails in just this way writes a
`.pth` file into the environment's site-packages that declares the operators when torchvision is first imported.
A matching pair of torch and torchvision is left alone.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

MODULE = '''"""Declares torchvision's operators beside a CPU torch; written by tests/torchvision_shim.py."""
import sys


class _Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            sys.modules[__name__].library = library
        return None


sys.meta_path.insert(0, _Finder())
'''


def main() -> None:
    """Write the shim if, and only if, torchvision fails to import for want of its operators."""
    probe = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True, check=False)
    if probe.returncode == 0:
        return
    if "torchvision::nms does not exist" not in probe.stderr:
        sys.exit(f"torchvision does not import, and not for the reason that this file mends:\n{probe.stderr}")
    site_packages = Path(sysconfig.get_paths()["purelib"])
    (site_packages / "cpu_torchvision_shim.py").write_text(MODULE)
    (site_packages / "cpu_torchvision_shim.pth").write_text("import cpu_torchvision_shim\n")
    subprocess.run([sys.executable, "-c", "import torchvision"], check=True)


if __name__ == "__main__":
    main()
