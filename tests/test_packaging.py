"""What people get: the two commands of the README, and a package with everything in it."""

from __future__ import annotations

import importlib.resources
import os
import re
import tomllib

from importlib import metadata
from pathlib import Path

import pytest

import duroxide

from duroxide._version import __version__


CHECKOUT = Path(__file__).parent.parent
DISTRIBUTION = "duroxide-python"
IN_CI = os.environ.get("CI") == "true"


def quick_start_commands() -> list[str]:
    """Return the shell blocks of the README's quick start."""
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"^## Quick start\n(.*?)(?=^## )", readme, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^```(?:sh|shell|bash|console)?\n(.*?)\n```$", section, flags=re.MULTILINE | re.DOTALL)


class TestReadme:
    def test_quick_start_has_two_commands(self) -> None:
        """The quick start is two lines to paste: one runs an example, the other the tests."""
        commands = quick_start_commands()

        assert [1, 1] == [len(command.splitlines()) for command in commands]
        assert ".venv/bin/python examples/hello_world.py" == commands[0].rpartition(" && ")[2]
        assert ".venv/bin/pytest" == commands[1].rpartition(" && ")[2]

    def test_ci_runs_the_commands_of_the_readme(self) -> None:
        """CI runs both commands as the README prints them, so they cannot rot."""
        ci = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8").splitlines()

        assert [] == [command for command in quick_start_commands() if command not in ci]

    def test_example_exists(self) -> None:
        """The example that the README runs is there."""
        assert (CHECKOUT / "examples" / "hello_world.py").is_file()

    def test_links(self) -> None:
        """Every relative link of the README leads somewhere."""
        readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
        targets = re.findall(r"\]\((?!https?://)([^)#]+)", readme)

        assert [] == [target for target in targets if not (CHECKOUT / target).exists()]


class TestPackage:
    def test_is_typed(self) -> None:
        """Type checkers are told to believe our annotations."""
        assert (importlib.resources.files("duroxide") / "py.typed").is_file()

    def test_contains_every_file(self) -> None:
        """Whatever is in the package's folder of the checkout is installed: migrations, templates, py.typed."""
        installed = Path(str(importlib.resources.files("duroxide")))
        files = [path.relative_to(CHECKOUT / "duroxide") for path in (CHECKOUT / "duroxide").rglob("*")]

        missing = [f for f in files if "__pycache__" not in f.parts and not (installed / f).exists()]
        assert [] == missing

    def test_contains_the_migrations(self) -> None:
        """A fresh database can be set up from the installed package alone."""
        versions = importlib.resources.files("duroxide") / "providers" / "sql" / "migrations" / "versions"

        assert any(entry.name.endswith(".py") for entry in versions.iterdir())

    def test_source_distribution(self) -> None:
        """The source distribution has all that its pages link to, and that its tests read."""
        settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
        included = settings["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
        by_itself = {"README.md", "LICENSE", "pyproject.toml"}
        pages = [CHECKOUT / "README.md", *(CHECKOUT / "docs").rglob("*.md")]
        links = {
            (page.parent / link).resolve().relative_to(CHECKOUT.resolve()).parts[0]
            for page in pages
            for link in re.findall(r"\]\((?!https?://)([^)#\s]+)", page.read_text(encoding="utf-8"))
        }

        needed = links | {".ci", ".pre-commit-hooks.yaml", "tests"}
        assert set() == needed - by_itself - {path.removeprefix("/") for path in included}

    def test_version(self) -> None:
        """The version of the distribution is the one in duroxide/_version.py."""
        try:
            version = metadata.version(DISTRIBUTION)
        except metadata.PackageNotFoundError:
            if IN_CI:
                raise
            pytest.skip(f"{DISTRIBUTION} is not installed, the tests run in the checkout")

        assert __version__ == version

    @pytest.mark.skipif(not IN_CI, reason="while working, the tests may run in the checkout")
    def test_ci_tests_the_installed_package(self) -> None:
        """CI tests what users install, not the files that lie around in the checkout."""
        assert not Path(str(duroxide.__file__)).is_relative_to(CHECKOUT / "duroxide")

    def test_changelog_has_unreleased_section(self) -> None:
        """There is a place to write the next entry of the changelog."""
        assert "## [Unreleased]" in (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
