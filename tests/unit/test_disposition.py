"""The header that suggests the name of a file."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from aiostow._disposition import content_disposition


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain.txt", 'attachment; filename="plain.txt"'),
        ('a"b\\c.txt', "attachment; filename=\"a_b_c.txt\"; filename*=UTF-8''a%22b%5Cc.txt"),
        ("é.txt", "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A9.txt"),
        ("dir/x.txt", 'attachment; filename="x.txt"'),
        ("50%.txt", "attachment; filename=\"50_.txt\"; filename*=UTF-8''50%25.txt"),
    ],
)
def test_file_names_are_quoted(name: str, expected: str) -> None:
    assert content_disposition("attachment", name) == expected
    assert quote(name.rpartition("/")[2], safe="") in expected or "filename*" not in expected
