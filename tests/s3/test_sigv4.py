"""Signatures: AWS's published examples, and botocore's signer for all the rest."""

from __future__ import annotations

import hashlib
import time
from typing import Any
from unittest import mock

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as TheirCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from aiostow.backends._percent import encode_path, encode_query
from aiostow.backends._sigv4 import (
    EMPTY,
    MAX_EXPIRY,
    UNSIGNED,
    Credentials,
    Signer,
)

# https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
AWS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
NOW = 1369353600  # 2013-05-24T00:00:00Z
WELCOME = hashlib.sha256(b"Welcome to Amazon S3.").hexdigest()


def signer() -> Signer:
    return Signer("examplebucket.s3.amazonaws.com", "us-east-1")


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "payload", "signature"),
    [
        ("GET", "/test.txt", [], {"range": "bytes=0-9"}, EMPTY,
         "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        ("PUT", "/test$file.text", [],
         {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
         WELCOME, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
        ("GET", "/", [("lifecycle", "")], {}, EMPTY,
         "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("GET", "/", [("prefix", "J"), ("max-keys", "2")], {}, EMPTY,
         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
    ids=["get object", "put object", "get lifecycle", "list objects"],
)  # fmt: skip
def test_the_published_examples_of_headers(
    method: str,
    path: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    payload: str,
    signature: str,
) -> None:
    added = signer().headers(
        method, encode_path(path), encode_query(query), headers, AWS, NOW, payload
    )
    assert added["authorization"].endswith(f"Signature={signature}")
    assert added["x-amz-date"] == "20130524T000000Z"
    assert added["x-amz-content-sha256"] == payload


def test_the_published_example_of_a_url() -> None:
    query = signer().presign("GET", "/test.txt", [], {}, AWS, NOW, 86400)
    assert query == (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524"
        "%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
        "&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


# -- botocore is the oracle -----------------------------------------------------------------------

TEXT = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=["C"]), max_size=12
)
KEYS = st.lists(TEXT.filter(bool), min_size=1, max_size=4).map("/".join)
QUERIES = st.dictionaries(
    st.sampled_from(["uploadId", "partNumber", "prefix", "list-type", "delimiter", "start-after"]),
    TEXT,
    max_size=4,
)
VALUES = st.text("abc ABC123/=+,;:*'()é", min_size=1, max_size=15).map(
    lambda v: " ".join(v.split())
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["range", "if-match", "content-type", "x-amz-meta-a", "x-amz-acl", "content-md5"]
    ),
    VALUES.filter(bool),
    max_size=4,
)
CREDENTIALS = st.builds(
    Credentials,
    st.text("ABCDEFGH0123456789", min_size=4, max_size=20),
    st.text("abc/+XYZ019", min_size=8, max_size=40),
    st.one_of(st.none(), st.text("abc/+=XYZ019", min_size=4, max_size=60)),
)
REQUESTS: dict[str, Any] = {
    "method": st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"]),
    "key": KEYS,
    "query": QUERIES,
    "headers": HEADERS,
    "credentials": CREDENTIALS,
    "now": st.integers(0, 4_000_000_000),
    "port": st.sampled_from(["", ":9000"]),
}


def add_auth(
    kind: Any, request: AWSRequest, credentials: Credentials, now: int, **options: Any
) -> None:
    """Let botocore sign a request at a moment of ours."""
    signs = kind(
        TheirCredentials(credentials.access_key, credentials.secret_key, credentials.token),
        "s3",
        "eu-west-1",
        **options,
    )
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    moment = mock.Mock()
    moment.strftime.return_value = stamp
    clock = mock.Mock()
    clock.datetime.utcnow.return_value = clock.datetime.now.return_value = moment
    with (
        mock.patch.object(botocore.auth, "get_current_datetime", return_value=moment, create=True),
        mock.patch.object(botocore.auth, "datetime", clock, create=True),
    ):
        signs.add_auth(request)


@settings(max_examples=400, deadline=None)
@given(**REQUESTS, body=st.one_of(st.none(), st.binary(max_size=20)))
def test_headers_are_those_of_botocore(
    method: str, key: str, query: dict[str, str], headers: dict[str, str],
    credentials: Credentials, now: int, port: str, body: bytes | None,
) -> None:  # fmt: skip
    host = f"bucket.example{port}"
    path, text = encode_path("/" + key), encode_query(query.items())
    payload = UNSIGNED if body is None else hashlib.sha256(body).hexdigest()
    ours = Signer(host, "eu-west-1").headers(method, path, text, headers, credentials, now, payload)
    url = f"https://{host}{path}?{text}".removesuffix("?")
    request = AWSRequest(method, url, headers=headers, data=body)
    theirs = botocore.auth.S3SigV4Auth
    with mock.patch.object(theirs, "_should_sha256_sign_payload", return_value=body is not None):
        add_auth(theirs, request, credentials, now)
    assert request.headers["X-Amz-Content-SHA256"] == payload
    assert request.headers["Authorization"] == ours["authorization"].replace(",", ", ")


@settings(max_examples=300, deadline=None)
@given(**REQUESTS, expires=st.integers(1, MAX_EXPIRY))
def test_urls_are_those_of_botocore(
    method: str, key: str, query: dict[str, str], headers: dict[str, str],
    credentials: Credentials, now: int, port: str, expires: int,
) -> None:  # fmt: skip
    host = f"bucket.example{port}"
    path = encode_path("/" + key)
    ours = Signer(host, "eu-west-1").presign(
        method, path, query.items(), headers, credentials, now, expires
    )
    request = AWSRequest(method, f"https://{host}{path}", params=query, headers=headers)
    add_auth(botocore.auth.S3SigV4QueryAuth, request, credentials, now, expires=expires)
    assert sorted(ours.split("&")) == sorted(request.url.partition("?")[2].split("&"))


# -- what is kept between requests ----------------------------------------------------------------


def test_the_kept_key_follows_the_day_and_the_credentials() -> None:
    other = Credentials("OTHER", "x" * 40)
    kept = signer()
    for who, now in [
        (AWS, NOW),
        (AWS, NOW + 1),
        (AWS, NOW + 86400),
        (other, NOW + 86400),
        (AWS, NOW),
    ]:
        fresh = signer().headers("GET", "/k", "", {}, who, now)
        assert kept.headers("GET", "/k", "", {}, who, now) == fresh


def test_a_session_token_is_signed_and_sent() -> None:
    session = Credentials("ID", "secret" * 7, "token/+=")
    added = signer().headers("GET", "/k", "", {}, session, NOW)
    assert added["x-amz-security-token"] == "token/+="
    assert "x-amz-security-token" in added["authorization"]
    assert "X-Amz-Security-Token=token%2F%2B%3D" in signer().presign(
        "GET", "/k", [], {}, session, NOW, 60
    )


def test_no_secret_is_shown() -> None:
    shown = repr(Credentials("ID", "the-secret", "the-token"))
    assert "ID" in shown
    assert "the-secret" not in shown
    assert "the-token" not in shown
