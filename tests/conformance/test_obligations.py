"""Every obligation of the driver contract is named, and proven by the conformance suite."""

from __future__ import annotations

import inspect
import re

from aiostow import driver
from aiostow.testing import Conformance


def obligations() -> set[str]:
    return {tag for doc in docstrings() for tag in re.findall(r"\[([a-z-]+)\]", doc)}


def proven() -> set[str]:
    tests = inspect.getmembers(Conformance, inspect.isfunction)
    return {name for _, test in tests for name in getattr(test, "__proves__", ())}


def test_every_sentence_with_must_is_named() -> None:
    sentences = [sentence for doc in docstrings() for sentence in _sentences(doc)]
    obliging = [sentence for sentence in sentences if re.search(r"\bmust\b", sentence)]
    assert [sentence for sentence in obliging if not sentence.endswith("]")] == []
    assert len(obliging) >= 25


def test_every_obligation_has_its_test_and_no_test_an_unknown_one() -> None:
    assert proven() == obligations()


def docstrings() -> list[str]:
    items: list[object] = []
    for _, cls in inspect.getmembers(driver, inspect.isclass):
        if cls.__module__ == driver.__name__:
            items.append(cls)
            items.extend(member for _, member in inspect.getmembers(cls, _is_member))
    return [inspect.getdoc(item) or "" for item in items]


def _is_member(value: object) -> bool:
    return inspect.isfunction(value) or isinstance(value, property)


def _sentences(doc: str) -> list[str]:
    """Split prose into sentences, each with the name in brackets that follows it."""
    prose = " ".join(doc.split())
    return [part.strip() for part in re.split(r"(?<=\.)\s+(?!\[)|(?<=\])\s+", prose)]
