"""Tokens: nothing but what was signed here is honoured, and only until it ends."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import string
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

import arrow
import jwt
import pendulum
import pytest

from aiostow import (
    ExpiredLinkError,
    InternalLinkTokenData,
    InvalidArgumentError,
    InvalidKeyError,
    InvalidLinkError,
    InvalidTypeError,
    LinkTooLongError,
    ShareLinkOperation,
    as_operation,
)
from aiostow.links import MAX_TOKEN, KeyRing, LinkSigner, as_expiry, audience

SECRET = b"0123456789abcdef0123456789abcdef"
OTHER = b"another secret, which is as long as that"
NOW = 1_800_000_000.25
AUDIENCE = audience("disk", "file:/srv/data")
FULL: dict[str, Any] = {
    "output_path": 'näme "1".csv',
    "content_type": "text/csv; charset=utf-8",
    "disposition": "inline",
    "overwrite": False,
    "max_size": 10_000,
    "exact_size": 5_000,
    "once": True,
}


class Clock:
    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def signer(secret: Any = SECRET, aud: str = AUDIENCE, clock: Clock | None = None) -> LinkSigner:
    return LinkSigner(KeyRing(secret), aud, clock or Clock())


def token(made_by: LinkSigner | None = None, **options: Any) -> str:
    made_by = made_by or signer()
    return made_by.sign(made_by.grant("a/b.csv", "dur", 3600, **options))


def refused(text: Any, by: LinkSigner | None = None) -> bool:
    try:
        (by or signer()).verify(text)
    except ExpiredLinkError:
        raise
    except InvalidLinkError as exc:
        # One answer for all: whoever probes learns nothing, not even from the cause.
        assert str(exc) == "this is no valid link"
        assert exc.__cause__ is None
        assert exc.__suppress_context__ or exc.__context__ is None
        return True
    return False


# -- the round trip -------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["d", "u", "r", "du", "dr", "ur", "dur"])
@pytest.mark.parametrize("options", [{}, FULL], ids=["plain", "full"])
def test_what_was_granted_comes_back(operation: str, options: dict[str, Any]) -> None:
    if "u" not in operation:
        options = {
            name: value
            for name, value in options.items()
            if name not in ("overwrite", "max_size", "exact_size")
        }
    made = signer().grant("a/b.csv", operation, 3600, **options)
    found = signer().verify(signer().sign(made))
    assert found == made
    path, operations = found
    assert (path, operations) == ("a/b.csv", as_operation(operation))
    assert found.allow_download == ("d" in operation)
    assert found.allow_upload == ("u" in operation)
    assert found.allow_remove == ("r" in operation)
    assert found.expires.timezone_name == "UTC"
    assert found.expires.timestamp() == int(NOW) + 3600
    for name, value in options.items():
        assert getattr(found, name) == value


def test_each_link_has_a_name_of_its_own() -> None:
    ids = {signer().verify(token()).token_id for _ in range(1000)}
    assert len(ids) == 1000
    assert min(map(len, ids)) >= 22  # 128 bits


def test_a_token_tells_nobody_where_things_are() -> None:
    claims = jwt.decode(token(), options={"verify_signature": False})
    assert set(claims) == {"aud", "exp", "iat", "jti", "key", "ops"}
    assert "srv" not in json.dumps(claims)
    assert "disk" not in json.dumps(claims)


# -- mutations ------------------------------------------------------------------------------------

ALPHABET = string.ascii_letters + string.digits + "-_"


def test_every_flipped_character_is_refused() -> None:
    text = token(**FULL)
    judge = signer()
    assert not refused(text, judge)
    for place, old in enumerate(text):
        for new in {ALPHABET[(ALPHABET.find(old) + 1) % 64], "A", ".", "=", "+", "é", "\x00"}:
            if new != old:
                assert refused(text[:place] + new + text[place + 1 :], judge), (place, new)


def mutations(text: str, random: Random) -> Iterator[str]:
    while True:
        kind = random.randrange(8)
        place, other = random.randrange(len(text)), random.randrange(len(text))
        first, last = sorted((place, other))
        if kind == 0:
            yield text[:place] + random.choice(ALPHABET) + text[place + 1 :]
        elif kind == 1:
            yield text[:place] + text[place + 1 :]
        elif kind == 2:
            yield text[:place] + random.choice(ALPHABET + ".=+/ \n%") + text[place:]
        elif kind == 3:
            yield text[:first] + text[last:]
        elif kind == 4:
            yield text[:first] + text[first:last][::-1] + text[last:]
        elif kind == 5:
            yield text[:place] + text[place].swapcase() + text[place + 1 :]
        elif kind == 6:
            parts = text.split(".")
            parts[random.randrange(3)] += random.choice(("=", "==", "A", "\n", "."))
            yield ".".join(parts)
        else:
            yield text[:first] + text[first : last + 1] + text[first:]


def test_no_mutation_is_honoured(long: bool) -> None:
    random = Random(7)
    judge = signer()
    count = 1_000_000 if long else 10_000
    texts = [token(), token(**FULL)]
    streams = [mutations(text, random) for text in texts]
    tried = 0
    while tried < count:
        text = next(streams[tried % 2])
        if text not in texts:
            assert refused(text, judge), text
            tried += 1


# -- what a holder of the key may not do either ---------------------------------------------------


def key_of(secret: bytes = SECRET) -> tuple[str, bytes]:
    ring = KeyRing(secret)
    key = ring.get(ring.signs_with)
    assert key is not None
    return ring.signs_with, key


def parts(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return jwt.get_unverified_header(text), jwt.decode(text, options={"verify_signature": False})


def encode(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forge(header: Any, claims: Any, key: bytes | None = None, digest: Any = hashlib.sha256) -> str:
    """Sign anything at all, with the right key."""
    text = f"{encode(header)}.{encode(claims)}"
    mac = hmac.digest(key or key_of()[1], text.encode(), digest)
    return f"{text}.{encode(mac)}"


def test_the_forger_of_these_tests_makes_tokens_that_are_honoured() -> None:
    assert not refused(forge(*parts(token(**FULL))))  # else the rest would show nothing


@pytest.mark.parametrize("claim", ["aud", "exp", "iat", "jti", "key", "ops"])
@pytest.mark.parametrize("wrong", ["dropped", None, "text", -1, 1.5, True, [], {}, ["x"], 1 << 70])
def test_a_claim_that_is_missing_or_wrong_is_refused(claim: str, wrong: Any) -> None:
    header, claims = parts(token())
    if wrong == "dropped":
        del claims[claim]
    elif (claim, wrong) in (("jti", "text"), ("key", "text"), ("ops", 1), ("iat", -1), ("exp", -1)):
        return  # as good as any, or expired
    else:
        claims[claim] = wrong
    assert refused(forge(header, claims))


@pytest.mark.parametrize(
    ("claim", "wrong"),
    [
        ("name", ""), ("name", "a\nb"), ("name", 5), ("name", None), ("type", "text"),
        ("type", "text/html\r\nX: y"), ("disp", "attachment"), ("disp", "open"), ("over", True),
        ("over", 0), ("max", -1), ("max", 1.5), ("max", True), ("max", None), ("exact", "5"),
        ("once", False), ("once", 1), ("once", "yes"), ("nbf", 0), ("iss", "me"), ("sub", "you"),
        ("admin", True), ("", 1),
    ],
)  # fmt: skip
def test_a_claim_that_is_too_much_or_wrong_is_refused(claim: str, wrong: Any) -> None:
    header, claims = parts(token())
    assert refused(forge(header, {**claims, claim: wrong}))


@pytest.mark.parametrize("key", ["../a", "/a", "a//b", "a/", "", "a\x00", ".aiostow-tmp-1"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    header, claims = parts(token())
    assert refused(forge(header, {**claims, "key": key}))


@pytest.mark.parametrize(
    "change",
    [
        {"alg": "none"}, {"alg": "None"}, {"alg": "HS512"}, {"alg": "HS384"}, {"alg": "RS256"},
        {"alg": "hs256"}, {"alg": None}, {"typ": "JWT"}, {"typ": "aiostow-link+JWT"}, {"typ": None},
        {"kid": "unknown"}, {"kid": None}, {"kid": ["a"]}, {"kid": ""}, {"crit": ["exp"]},
        {"crit": []}, {"b64": False}, {"jku": "https://evil.example"}, {"zip": "DEF"}, {"x": 1},
    ],
)  # fmt: skip
def test_another_header_is_refused(change: dict[str, Any]) -> None:
    header, claims = parts(token())
    assert refused(forge({**header, **change}, claims))
    for name in change:
        without = {key: value for key, value in header.items() if key != name}
        if name in header:
            assert refused(forge(without, claims))


@pytest.mark.parametrize("digest", [hashlib.sha384, hashlib.sha512])
def test_another_algorithm_is_refused_whatever_its_name(digest: Any) -> None:
    header, claims = parts(token())
    name = f"HS{digest().digest_size * 8}"
    assert refused(forge(header, claims, digest=digest))
    assert refused(forge({**header, "alg": name}, claims, digest=digest))


def test_an_unsigned_token_is_refused() -> None:
    header, claims = parts(token())
    for alg in ("none", "HS256"):
        text = f"{encode({**header, 'alg': alg})}.{encode(claims)}"
        for end in ("", ".", "..", ".AAAA"):
            assert refused(text + end)


def test_another_spelling_of_the_same_is_refused() -> None:
    header, claims = parts(token(output_path="näme"))
    assert not refused(forge(header, claims))
    spaced = json.dumps(claims).encode()
    unescaped = json.dumps(claims, ensure_ascii=False, separators=(",", ":")).encode()
    doubled = json.dumps(claims, separators=(",", ":"))[:-1] + f',"key":"{claims["key"]}"}}'
    reordered = dict(reversed(claims.items()))
    for other in (spaced, unescaped, doubled.encode(), reordered, [claims], "text", 5, None):
        assert refused(forge(header, other))
    for other in (dict(reversed(header.items())), json.dumps(header).encode(), [header], b"{"):
        assert refused(forge(other, claims))
    text = forge(header, claims)
    for other in (text + "=", text + "\n", " " + text, text.replace(".", ".="), text.upper()):
        assert refused(other)
    # The last character of a signature has two bits that decoding ignores.
    twins = [text[:-1] + letter for letter in ALPHABET if letter != text[-1]]
    raw = base64.urlsafe_b64decode(text.rpartition(".")[2] + "==")
    same = [t for t in twins if base64.urlsafe_b64decode(t.rpartition(".")[2] + "==") == raw]
    assert same
    assert all(map(refused, twins))


@pytest.mark.parametrize("text", [None, b"bytes", 5, "", ".", "..", "a.b.c", "x" * 10_000, "é.é.é"])
def test_what_is_no_token_is_refused(text: Any) -> None:
    assert refused(text)


# -- keys and audiences ---------------------------------------------------------------------------


def test_another_secret_is_refused_also_under_the_same_name() -> None:
    assert refused(token(), signer(OTHER))
    assert refused(token(signer({"k": SECRET})), signer({"k": OTHER}))
    assert refused(token(signer({"k": SECRET})), signer({"l": SECRET}))


def test_the_bare_secret_signs_nothing() -> None:
    header, claims = parts(token())
    for key in (SECRET, hashlib.sha256(SECRET).digest()):
        assert refused(forge(header, claims, key=key))


@pytest.mark.parametrize("named", [False, True])
def test_rotation(named: bool) -> None:
    old: Any = {"2025": SECRET} if named else SECRET
    both: Any = {"2026": OTHER, "2025": SECRET} if named else [OTHER, SECRET]
    new: Any = {"2026": OTHER} if named else [OTHER]
    made_before = token(signer(old))
    assert not refused(made_before, signer(both))  # still honoured
    made_after = token(signer(both))
    assert not refused(made_after, signer(new))  # the new one signs
    assert refused(made_after, signer(old))
    assert refused(made_before, signer(new))  # removed


def test_another_audience_is_refused() -> None:
    for name, identity in (("disk", "file:/srv"), ("disk2", "file:/srv/data"), ("", "")):
        assert refused(token(), signer(aud=audience(name, identity)))
    assert audience("a", "bc") != audience("ab", "c")


@pytest.mark.parametrize("secret", [b"", b"x" * 31, "é" * 15, "", [], {}, [SECRET, b"short"]])
def test_a_short_secret_is_refused_when_given(secret: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        KeyRing(secret)


@pytest.mark.parametrize("secret", [None, 5, [None], {"k": 5}, object(), [[SECRET]]])
def test_what_is_no_secret_is_refused(secret: Any) -> None:
    with pytest.raises(InvalidTypeError):
        KeyRing(secret)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ä", 5, "a\n"])
def test_the_name_of_a_key_is_a_plain_word(name: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        KeyRing({name: SECRET})


def test_a_secret_given_twice_is_refused() -> None:
    with pytest.raises(InvalidArgumentError):
        KeyRing([SECRET, SECRET])


@pytest.mark.parametrize("secret", [SECRET, SECRET.decode(), b"\xff" * 32, "ü" * 16, "\ud800" * 32])
def test_bytes_and_text_of_any_kind_are_secrets(secret: Any) -> None:
    assert not refused(token(signer(secret)), signer(secret))


def test_no_secret_is_shown() -> None:
    for ring in (KeyRing(SECRET), KeyRing({"k": SECRET})):
        shown = repr(ring) + str(ring)
        assert SECRET.decode() not in shown
        assert SECRET[:4].decode() not in shown


# -- time -----------------------------------------------------------------------------------------


def test_the_second_before_and_after_the_end() -> None:
    clock = Clock()
    judge = signer(clock=clock)
    text = judge.sign(judge.grant("k", "d", 60))
    end = int(NOW) + 60
    for now in (NOW, end - 1, end - 0.001):
        clock.now = now
        assert judge.verify(text).path == "k"
    for now in (end, end + 0.001, end + 1, end + 10**9):
        clock.now = now
        with pytest.raises(ExpiredLinkError, match="expired"):
            judge.verify(text)


def test_a_token_of_the_future_is_refused_but_for_the_skew_of_clocks() -> None:
    clock = Clock()
    judge = signer(clock=clock)
    text = token(judge)
    for back in (1, 30):
        clock.now = int(NOW) - back
        assert not refused(text, judge)
    clock.now = int(NOW) - 31
    assert refused(text, judge)


EAST = timezone(timedelta(hours=14))


@pytest.mark.parametrize(
    "expire",
    [
        60, 60.0, timedelta(minutes=1), pendulum.duration(minutes=1),
        datetime.fromtimestamp(NOW + 60, UTC), datetime.fromtimestamp(NOW + 60, EAST),
        pendulum.from_timestamp(NOW + 60), pendulum.from_timestamp(NOW + 60, "Europe/Berlin"),
        arrow.get(NOW + 60), arrow.get(NOW + 60).to("US/Pacific"),
    ],
    ids=str,
)  # fmt: skip
def test_every_way_to_say_when(expire: Any) -> None:
    # Never later than was asked: a token knows whole seconds.
    assert as_expiry(expire, NOW).timestamp() == int(NOW) + 60


@pytest.mark.parametrize(
    "expire",
    [
        0, -1, 0.5, -0.0, timedelta(0), timedelta(days=-1), datetime.fromtimestamp(NOW, UTC),
        datetime.fromtimestamp(NOW - 1, EAST), arrow.get(0), float("nan"), float("inf"),
        -float("inf"), 1e300, 10**15, timedelta.max, datetime.max, datetime.min,
        datetime.fromtimestamp(NOW + 60), pendulum.naive(2100, 1, 1),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_past_naive_or_no_time_is_refused(expire: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        as_expiry(expire, NOW)


def test_a_naive_time_is_told_how_to_be_aware() -> None:
    with pytest.raises(InvalidArgumentError, match=r"no time zone: write datetime.now\(UTC\)"):
        as_expiry(datetime(2100, 1, 1), NOW)


@pytest.mark.parametrize("expire", [None, "1h", True, b"", [], object()])
def test_what_is_no_time_at_all_is_refused(expire: Any) -> None:
    with pytest.raises(InvalidTypeError, match="aware datetime, a timedelta or seconds"):
        as_expiry(expire, NOW)


# -- grants ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "/a", "../a", "a\nb", "a//b", None, b"a"])
def test_a_grant_is_of_a_key(key: Any) -> None:
    with pytest.raises(InvalidKeyError):
        signer().grant(key, "d", 60)


CONTROLS = ["\x00", "\n", "\r", "\x1b", "\x7f", "\x85", "\u2028", "\ud800"]


@pytest.mark.parametrize("character", CONTROLS)
@pytest.mark.parametrize("name", ["output_path", "content_type"])
def test_control_characters_are_refused(name: str, character: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{name} cannot hold"):
        signer().grant("k", "d", 60, **{name: f"text/{character}plain"})


@pytest.mark.parametrize(
    "options",
    [
        {"output_path": ""}, {"content_type": ""}, {"content_type": "text"},
        {"content_type": "text/a b"}, {"content_type": "a/b;c"}, {"content_type": "a/b,c/d"},
        {"disposition": "open"}, {"disposition": None}, {"max_size": -1}, {"exact_size": -1},
        {"max_size": 1, "exact_size": 2},
    ],
)  # fmt: skip
def test_values_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        signer().grant("k", "u", 60, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"output_path": 5}, {"content_type": b"a/b"}, {"max_size": 1.5}, {"max_size": True},
        {"exact_size": "5"}, {"once": 1}, {"overwrite": None},
    ],
)  # fmt: skip
def test_values_of_a_wrong_type_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidTypeError):
        signer().grant("k", "u", 60, **options)


@pytest.mark.parametrize("options", [{"overwrite": False}, {"max_size": 0}, {"exact_size": 0}])
def test_limits_of_an_upload_need_an_upload(options: dict[str, Any]) -> None:
    """Whoever writes them believes that they hold."""
    assert signer().grant("k", "du", 60, **options)
    for operation in ("d", "r", "dr"):
        with pytest.raises(InvalidArgumentError, match="limit an upload"):
            signer().grant("k", operation, 60, **options)


def test_too_long_a_token_is_refused() -> None:
    judge = signer()
    longest = 0
    for length in range(2000, 3000):
        try:
            text = judge.sign(judge.grant("k" * length, "d", 60))
        except LinkTooLongError as exc:
            assert f"over the {MAX_TOKEN}" in str(exc)
            break
        longest = len(text)
        assert not refused(text, judge)
    assert MAX_TOKEN - 4 <= longest <= MAX_TOKEN
    with pytest.raises(LinkTooLongError):
        judge.sign(judge.grant("k", "d", 60, output_path="n" * 3000))


def test_a_grant_is_a_value() -> None:
    grant = InternalLinkTokenData("k", ShareLinkOperation.download, expires=as_expiry(60, NOW))
    assert tuple(grant) == ("k", ShareLinkOperation.download)
    with pytest.raises(AttributeError):
        grant.path = "other"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["a/", "/", "a/b/"])
def test_a_suggested_name_is_that_of_a_file(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="names no file"):
        signer().grant("k", "download", 60, output_path=name)
