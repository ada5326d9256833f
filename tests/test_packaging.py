"""What the wheel contains is listed by hand in pyproject.toml: nothing may be missing there."""

import tomllib
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_package_is_listed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    found = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "symcell").rglob("*.py")}
    assert sorted(listed) == sorted(found | {"symcell.templates", "symcell.generated"})


def test_templates_and_cells_are_package_data():
    assert files("symcell.templates").joinpath("derivation", "text.j2").is_file()
    assert files("symcell").joinpath("cells", "lstm.cell").is_file()
    assert files("symcell").joinpath("cells", "layouts", "torch.toml").is_file()
