"""Who may import whom: the core knows nothing of its adapters, and its layers point one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ADAPTERS = ("trl_ext", "diffusers_ext", "eval_ext")
ALLOWED = {
    "unireward_plugins": {"unireward_plugins"},
    "hub": {"hub", "unireward_plugins"},
    **{adapter: {adapter, "hub", "unireward_plugins"} for adapter in ADAPTERS},
}
OURS = set(ALLOWED)

CORE_LAYERS = (
    "errors",
    "media",
    "types",
    "neutral",
    "parsing",
    "rubrics",
    "backends",
    "cache",
    "judges",
    "loading",
)
"""Each may import those before it, never those behind it."""

FACE = ROOT / "unireward_plugins" / "__init__.py"
"""The one exception: it hands on `UnifiedReward` lazily, so that users have one import root."""


def imported_modules(path: Path) -> set[str]:
    """Every absolute module that a file imports, at any depth."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layer"
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def files_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", sorted(OURS))
def test_a_package_imports_only_what_its_layer_may(package: str) -> None:
    for path in files_of(package):
        if path == FACE:
            continue
        ours = {module.split(".")[0] for module in imported_modules(path)} & OURS
        assert ours <= ALLOWED[package], f"{path.relative_to(ROOT)} imports {ours - ALLOWED[package]}"


@pytest.mark.parametrize("layer", CORE_LAYERS)
def test_core_layers_point_one_way(layer: str) -> None:
    above = set(CORE_LAYERS[CORE_LAYERS.index(layer) + 1 :])
    home = ROOT / "unireward_plugins" / layer
    for path in [home.with_suffix(".py")] if home.with_suffix(".py").exists() else sorted(home.rglob("*.py")):
        inside = {module.split(".")[1] for module in imported_modules(path) if module.startswith("unireward_plugins.")}
        assert not inside & above, f"{path.relative_to(ROOT)} imports {inside & above}, which stand above {layer}"


@pytest.mark.parametrize("package", sorted(OURS))
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    heavy = [
        "torch",
        "transformers",
        "PIL",
        "numpy",
        "av",
        "datasets",
        "trl",
        "diffusers",
        "lmms_eval",
        "openai",
        "rich",
    ]
    code = f"import sys, {package}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_face_offers_exactly_what_it_promises() -> None:
    import unireward_plugins

    for name in unireward_plugins.__all__:
        assert getattr(unireward_plugins, name) is not None
    assert set(dir(unireward_plugins)) == set(unireward_plugins.__all__)
    with pytest.raises(AttributeError, match="no attribute 'load_jugde'"):
        _ = unireward_plugins.load_jugde
