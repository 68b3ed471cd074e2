"""The wheel holds all that an installed Penstock needs, and nothing else."""

import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--wheel-dir", folder, root], check=True)
    (path,) = folder.glob("penstock-*.whl")
    with zipfile.ZipFile(path) as wheel:
        yield wheel


def test_it_holds_every_source_file(root: Path, files: list[Path], wheel: zipfile.ZipFile) -> None:
    build = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    roots = [root / name for name in build["dev-mode-dirs"]]
    expected = {
        path.relative_to(source).as_posix()
        for source in roots
        for path in files
        if path.is_relative_to(source / "penstock")
    }
    assert {Path(name).suffix for name in expected} >= {".lua", ".py", ".pyi", ".typed"}
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == expected


def test_it_installs_the_command_and_the_extras(wheel: zipfile.ZipFile) -> None:
    def read(name: str) -> str:
        (path,) = (path for path in wheel.namelist() if path.endswith(f".dist-info/{name}"))
        return wheel.read(path).decode()

    assert "penstock = penstock.cli.entry:main" in read("entry_points.txt")
    for extra in ("all", "cli", "client", "embedded", "server", "worker"):
        assert f"Provides-Extra: {extra}\n" in read("METADATA")
