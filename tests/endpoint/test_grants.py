"""What a token grants is done, and nothing else; whatever is no living token grants nothing."""

from __future__ import annotations

import itertools

import pytest

from ._answers import BAD_TOKEN, MISSING, NOT_ALLOWED, NOT_THAT_WAY, Version, done, said, sent
from ._bodies import SMALL
from ._place import METHODS, Place

ALLOWED = {"d": ("GET", "HEAD"), "u": ("PUT", "POST"), "r": ("DELETE",)}
GRANTS = tuple("".join(some) for n in (1, 2, 3) for some in itertools.combinations("dur", n))


@pytest.mark.parametrize("operations", GRANTS)
def test_options_and_other_methods_tell_what_the_link_allows(place: Place, operations: str) -> None:
    allowed = [method for letter in operations for method in ALLOWED[letter]]
    allow = ", ".join([*allowed, "OPTIONS"])
    link = place.link(operations)
    assert place.ask("OPTIONS", link) == done(allow=allow)
    for method in ("PATCH", "TRACE"):
        assert place.ask(method, link) == said(405, NOT_THAT_WAY, allow=allow)
    assert place.ask("PATCH", link, SMALL) == said(405, NOT_THAT_WAY, allow=allow)
    assert place.stored() is None


@pytest.mark.parametrize("operations", GRANTS)
def test_a_link_does_what_it_grants_to_its_key_and_nothing_else(
    place: Place, operations: str
) -> None:
    link = place.link(operations)
    allowed = [method for letter in operations for method in ALLOWED[letter]]
    other, look = place.beside("file.bin.other"), place.link("d")
    place.ask("PUT", place.link("u", key=other), b"other")
    forbidden = said(403, NOT_ALLOWED)
    # Whatever else a request says, the token alone says what is meant.
    headers = {"x_http_method_override": "DELETE", "x_original_url": "/share/?token=x"}
    url = link.replace("?", f"?key={other}&operations=7&") + f"&path={other}"
    version: Version | None = place.store(SMALL)
    for method in METHODS:
        data = f"by {method}".encode() if method in ("PUT", "POST") else None
        seen = place.ask(method, url, data, **headers)
        if method == "OPTIONS":
            assert seen == done(allow=", ".join([*allowed, "OPTIONS"]))
        elif method not in allowed:
            assert seen == (forbidden.to_head if method == "HEAD" else forbidden)
        elif method == "DELETE":
            assert seen == done()
            version = None
        elif data is None:
            assert version is not None
            assert seen == (sent(version).to_head if method == "HEAD" else sent(version))
        else:
            assert seen.normalised == done(etag="an etag")
            version = place.version(place.ask("GET", look), data)
    # What was not granted left no trace: the version is the one that was granted last.
    assert place.ask("GET", look) == (said(404, MISSING) if version is None else sent(version))
    assert place.stored(other) == b"other"


def test_without_a_token_there_is_nothing(standing: tuple[Place, Version]) -> None:
    place, version = standing
    url = place.served.url
    nothing = said(404, "Not found.")
    for query in ("", "?token=", "?x=y", "?Token=abc", "?xtoken=abc"):
        for method in (*METHODS, "PATCH"):
            seen = place.ask(method, url + query)
            assert seen == (nothing.to_head if method == "HEAD" else nothing), (method, query)
    assert place.ask("GET", place.link("d")) == sent(version)


def _bad_tokens(place: Place) -> dict[str, str]:
    good = place.token()
    header, claims, signature = good.split(".")
    return {
        "garbage": "garbage",
        "dots": "..",
        "spaces": "%20",
        "no characters of tokens": "%00%ff%22%0d%0a",
        "as bytes": "ÿ",
        "long": good + "a" * (3600 - len(good)),  # more than any token has
        "twice": f"{good}&token={good}",
        "twice, one empty": f"{good}&token=",
        "encoded": good.replace(".", "%2E"),
        "padded": f"{good}=",
        "cut": good[:-1],
        "unsigned": f"{header}.{claims}.",
        "alg none": f"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.",
        "signed for another": f"{header}.{claims}.{place.token(name='x').split('.')[2]}",
        "other claims": f"{header}.{place.token().split('.')[1]}.{signature}",
        "of another storage": place.token(name="another"),
        "expired": place.token(ago=1000),
        "of the future": place.token(ago=-1000),
    }


def test_whatever_is_no_living_token_of_ours_gets_one_answer(
    standing: tuple[Place, Version],
) -> None:
    place, version = standing
    bad = said(403, BAD_TOKEN)
    for name, token in _bad_tokens(place).items():
        url = f"{place.served.url}?token={token}"
        for method in ("GET", "PUT"):
            assert place.ask(method, url, b"" if method == "PUT" else None) == bad, name
    expired = f"{place.served.url}?token={place.token(ago=1000)}"
    for method in (*METHODS, "PATCH"):
        assert place.ask(method, expired) == (bad.to_head if method == "HEAD" else bad), method
    # So that not all are refused: one that is signed in the same way, but now.
    assert place.ask("GET", f"{place.served.url}?token={place.token()}") == sent(version)
    assert place.ask("GET", f"{place.served.url}?token={place.token(ago=590)}") == sent(version)


def test_a_token_with_one_changed_character_gets_the_same_answer(
    standing: tuple[Place, Version],
) -> None:
    place, version = standing
    token = place.token()
    bad = said(403, BAD_TOKEN)
    dots = [index for index, character in enumerate(token) if character == "."]
    ends = {0, len(token) - 1, *dots, *(index - 1 for index in dots), *(i + 1 for i in dots)}
    for index in sorted(ends | set(range(5, len(token), 29))):
        changed = "A" if token[index] != "A" else "B"
        url = f"{place.served.url}?token={token[:index]}{changed}{token[index + 1 :]}"
        assert place.ask("GET", url) == bad, index
    assert place.ask("GET", f"{place.served.url}?token={token}") == sent(version)
