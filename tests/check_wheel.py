"""Builds the wheel, installs it into an empty environment and uses it there: `python tests/check_wheel.py`.

Shows that the wheel holds its data files (prompts, the embedded judge), that the core runs on its own dependencies
alone, and that a feature whose extra is missing says how to install it.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("unireward_plugins", "trl_ext", "diffusers_ext", "eval_ext", "hub")


def run(*command: str | Path, text: str | None = None, expect: int = 0) -> str:
    """The standard output and error of a command that must exit with `expect`."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=tempfile.gettempdir(),
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != expect:
        sys.exit(f"{command} exited with {done.returncode}, not {expect}\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr


def tracked(*paths: str) -> list[str]:
    """The files that git tracks, of all or below the paths."""
    return run("git", "-C", ROOT, "ls-files", *paths).splitlines()


def build(folder: Path) -> Path:
    """The wheel, built from a copy of the tracked files alone: an earlier build in the checkout has no part in it."""
    source = folder / "source"
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, source)
    (wheel,) = folder.glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> None:
    """The wheel holds what git tracks of the five packages, data files included, and nothing else."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = set(tracked(*PACKAGES))
    missing, strangers = sorted(wanted - names), sorted(names - wanted)
    if missing or strangers:
        sys.exit(f"the wheel lacks {missing} and should not hold {strangers}")


def check_use(wheel: Path, folder: Path) -> None:
    """The command works in an environment with the wheel and its core dependencies alone."""
    venv.create(folder, with_pip=True)
    python, unireward = folder / "bin" / "python", folder / "bin" / "unireward"
    run(python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel)
    run(python, "-c", f"import {', '.join(PACKAGES)}")
    assert "{" not in run(unireward, "rubrics", "show", "image_gen.pair_rank.qwen", "--prompt", "a red circle")
    read = run(unireward, "rubrics", "read", "image_gen.point_score.v1", text="Final Score: 4")
    assert json.loads(read)["scores"] == [0.75], read
    picture = folder / "picture.png"
    run(python, "-c", f"from PIL import Image; Image.new('RGB', (8, 8)).save({str(picture)!r})")
    refusal = run(unireward, "score", "--judge", "shapes", "--prompt", "a red circle", picture, expect=4)
    assert "pip install 'unireward-plugins[transformers]'" in refusal, refusal


def main() -> None:
    """Build, look inside, install, use."""
    with tempfile.TemporaryDirectory() as scratch:
        wheel = build(Path(scratch) / "dist")
        check_contents(wheel)
        check_use(wheel, Path(scratch) / "venv")
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, installed and used")


if __name__ == "__main__":
    main()
