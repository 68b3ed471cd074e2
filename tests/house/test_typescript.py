"""The TypeScript client is packed as the rest is: one version, a lock that names no registry."""

import json
import tomllib
from pathlib import Path

import pytest

CLIENT = "clients/typescript"


@pytest.fixture
def lock(root: Path) -> dict[str, dict[str, object]]:
    packages: dict[str, dict[str, object]] = json.loads(
        (root / CLIENT / "package-lock.json").read_text()
    )["packages"]
    return packages


def test_the_lock_says_what_to_install_and_not_from_where(
    lock: dict[str, dict[str, object]],
) -> None:
    for name, package in lock.items():
        assert "resolved" not in package, name
        assert not name or str(package["integrity"]).startswith("sha512-"), name


def test_the_lock_is_of_the_manifest(root: Path, lock: dict[str, dict[str, object]]) -> None:
    manifest = json.loads((root / CLIENT / "package.json").read_text())
    for kind in ("dependencies", "devDependencies", "engines"):
        assert lock[""][kind] == manifest[kind]


def test_it_has_the_version_of_the_rest(root: Path) -> None:
    manifest = json.loads((root / CLIENT / "package.json").read_text())
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert manifest["version"] == project["version"]
