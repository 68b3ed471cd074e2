"""One namespace over several roots, each package with a stated public surface."""

import importlib
import tomllib
from pathlib import Path

import pytest

PACKAGES = (
    "penstock.broker",
    "penstock.cli",
    "penstock.client",
    "penstock.runtime",
    "penstock.server",
    "penstock.worker",
)


def source_roots(root: Path) -> list[Path]:
    build = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    return [root / name for name in build["dev-mode-dirs"]]


def by_kind(name: str) -> tuple[int, str]:
    """The order that ruff keeps (RUF022): constants, then classes, then the rest."""
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, name


def test_the_roots_are_listed_alike_everywhere(root: Path) -> None:
    tools = tomllib.loads((root / "pyproject.toml").read_text())["tool"]
    names = sorted(path.relative_to(root).as_posix() for path in source_roots(root))
    packages = tools["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(package.removesuffix("/penstock") for package in packages) == names
    assert sorted(path.partition("/")[2] for path in tools["mypy"]["mypy_path"]) == names


def test_no_root_claims_the_namespace(root: Path) -> None:
    for source in source_roots(root):
        assert (source / "penstock").is_dir()
        assert [path.name for path in (source / "penstock").glob("*.py")] == []


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_states_what_is_public(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__doc__
    public = package.__all__
    assert list(public) == sorted(set(public), key=by_kind)
    for exported in public:
        assert hasattr(package, exported), f"{name} has no {exported}"
    assert package.__file__ is not None
    assert Path(package.__file__).with_name("py.typed").is_file()
