"""Reading what the doctor found."""

from __future__ import annotations

from aiostow.doctor import Check, Diagnosis


def check(diagnosis: Diagnosis, name: str) -> Check:
    """Return one of the checks."""
    return next(each for each in diagnosis.checks if each.name == name)


def with_status(diagnosis: Diagnosis, *statuses: str) -> list[str]:
    """Return the names of the checks that ended so."""
    return [each.name for each in diagnosis.checks if each.status in statuses]


def only_failure(diagnosis: Diagnosis, name: str) -> Check:
    """Return the one check that failed, which must be this one, and give advice."""
    assert with_status(diagnosis, "failed") == [name], str(diagnosis)
    assert not diagnosis.healthy
    found = check(diagnosis, name)
    assert found.found
    assert found.advice
    assert f"-> {name}: {found.advice}" in str(diagnosis)
    return found


def all_green(diagnosis: Diagnosis, *skipped: str) -> None:
    """Check that nothing is wrong, nor left out but for these."""
    assert with_status(diagnosis, "failed", "warning") == [], str(diagnosis)
    assert with_status(diagnosis, "skipped") == list(skipped), str(diagnosis)
    assert diagnosis.healthy
