"""`nox` runs what must be green; `nox -s faults` and `nox -s bench` are long forms."""

from __future__ import annotations

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["lint", "types", "tests", "system", "servers"]
nox.options.error_on_missing_interpreters = False
nox.options.default_venv_backend = "virtualenv"

SYSTEM = ["tests/cli", "tests/faults", "tests/local"]
SERVERS = [
    "tests/azure",
    "tests/between",
    "tests/endpoint",
    "tests/s3",
    "tests/sftp",
    "tests/share",
]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
TESTS = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "test")
LINT = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "lint")
ON_SERVERS = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "servers")
TYPES = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "types")
BENCH = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "bench")


@nox.session
def lint(session: nox.Session) -> None:
    """Style, and imports that point down the floors."""
    session.install(*LINT, "-e", ".[testing]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Strict types inside, complete types for users."""
    session.install(*TYPES, "-e", ".")
    session.run("mypy")
    session.run("pyright", "--verifytypes", "aiostow", "--ignoreexternal")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests, on each Python that is installed."""
    session.install(*TESTS, ".")
    others = [f"--ignore={path}" for path in (*SYSTEM, *SERVERS)]
    session.run("pytest", *others, *session.posargs)


@nox.session
def system(session: nox.Session) -> None:
    """What the system does rather than Python: kills, disks, memory, hostile trees, terminals."""
    session.install(*TESTS, ".")
    session.run("pytest", *SYSTEM, *session.posargs)


@nox.session
def servers(session: nox.Session) -> None:
    """Services, on real servers that the tests start."""
    session.install(*ON_SERVERS, ".")
    session.run("pytest", *SERVERS, *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """The long forms: every await and system call, millions of races and forgeries, gigabytes."""
    session.install(*ON_SERVERS, ".")
    paths = [*SYSTEM, *SERVERS, "tests/cancellation", "tests/links"]
    session.run("pytest", "--long", *paths, *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Ratios to other libraries, side by side in one run."""
    session.install(*BENCH, ".")
    session.run("python", "-m", "benchmarks", *session.posargs)
