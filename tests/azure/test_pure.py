"""Signatures beside the SDK's, batches, and XML: without a server."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any
from xml.parsers import expat

import pytest
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.rest import HttpRequest
from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aiostow import Folder, InvalidArgumentError, ListEntry
from aiostow.backends._azure_auth import SharedKey
from aiostow.backends._azure_batch import batch_body, batch_failures
from aiostow.backends._azure_config import AzureConfig, Place, find_place
from aiostow.backends._azure_xml import as_error, block_list, list_page, parse_blocks, parse_list
from aiostow.backends._percent import encode_path, encode_query
from aiostow.backends.http import Request, ServiceError

KEY = "a2V5" * 16
NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
STANDARD = st.sampled_from(
    ["content-md5", "content-type", "content-encoding", "if-match", "if-none-match", "x-ms-date",
     "x-ms-version", "x-ms-blob-type", "x-ms-blob-content-type", "x-ms-blob-cache-control",
     "x-ms-copy-source", "x-ms-source-if-match", "x-ms-source-range", "x-ms-requires-sync",
     "x-ms-access-tier", "x-ms-delete-snapshots", "x-ms-copy-source-authorization"]
)  # fmt: skip


@given(
    st.sampled_from(["GET", "PUT", "HEAD", "DELETE", "POST"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\\"), min_size=1, max_size=20),
    st.dictionaries(NAMES, TEXTS, max_size=3),
    st.dictionaries(STANDARD, TEXTS, max_size=6),
    st.dictionaries(NAMES, TEXTS, max_size=5),
    st.integers(0, 10**6),
)
@example("PUT", "k", {}, {}, {"a_b": "1", "ab": "2", "a1": "3", "_": "4"}, 0)
@settings(max_examples=500)
def test_signatures_are_those_of_the_sdk(
    method: str,
    key: str,
    query: dict[str, str],
    headers: dict[str, str],
    metadata: dict[str, str],
    length: int,
) -> None:
    path = f"/cont/{encode_path(key)}"
    text = encode_query(query.items())
    sent = headers | {f"x-ms-meta-{name}": value for name, value in metadata.items()}
    ours = SharedKey("acc", KEY).sign(Request(method, path, text, sent), sent, length)
    url = f"https://acc.blob.core.windows.net{path}" + (f"?{text}" if text else "")
    request: Any = HttpRequest(method, url, headers={**sent, "content-length": str(length)})
    # What the SDK signs is the query as it was given, not as it is encoded.
    pairs = dict(part.split("=") for part in text.split("&")) if text else {}
    shim: Any = SimpleNamespace(method=method, url=url, headers=request.headers, query=pairs)
    policy: Any = SharedKeyCredentialPolicy
    policy("acc", KEY).on_request(PipelineRequest(shim, PipelineContext(None)))
    assert ours == shim.headers["Authorization"]


def test_the_repr_of_what_asks_shows_no_secret() -> None:
    place = find_place("acc", KEY, "cont", None, None, None, None, None, False)
    told = repr(AzureConfig(place=place, chunk_size=1))
    assert KEY not in told
    sas = Place(account="a", endpoint="https://a", container="cont", sas="sig=canary")
    assert "canary" not in repr(sas)
    request = Request("GET", "/", "sig=canary", {"x-ms-copy-source": "sig=canary"}, [b"canary"])
    assert "canary" not in repr(request)


class TestBatches:
    def test_a_body_holds_its_requests(self) -> None:
        request = Request("DELETE", "/cont/a%20b", "sig=x")
        body = batch_body([(request, {"x-ms-date": "now"}), (request, {})], "between")
        assert body.count(b"--between\r\n") == 2
        assert body.endswith(b"--between--\r\n")
        assert b"\r\n\r\nDELETE /cont/a%20b?sig=x HTTP/1.1\r\nx-ms-date: now\r\n" in body

    def test_answers_are_those_of_their_requests(self) -> None:
        answer = (
            b"--b\r\nContent-Type: application/http\r\nContent-ID: 1\r\n\r\n"
            b"HTTP/1.1 404 Not Found\r\nx-ms-error-code: BlobNotFound\r\n\r\n<Error/>\r\n"
            b"--b\r\nContent-ID: 0\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n"
            b"--b\r\nContent-ID: 2\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n"
            b"<Error><Code>Refused</Code><Message>no\nsig=x</Message></Error>\r\n--b--\r\n"
        )
        failures = batch_failures('multipart/mixed; boundary="b"', answer, 4)
        assert {n: (e.status, e.code) for n, e in failures.items()} == {
            1: (404, "BlobNotFound"), 2: (403, "Refused"), 3: (502, ""),
        }  # fmt: skip

    def test_one_answer_to_all_is_that_of_each(self) -> None:
        answer = b"--b\r\n\r\nHTTP/1.1 400 Bad\r\nx-ms-error-code: InvalidInput\r\n\r\n--b--"
        failures = batch_failures("multipart/mixed; boundary=b", answer, 3)
        assert [failures[n].code for n in range(3)] == ["InvalidInput"] * 3

    @given(st.text(max_size=30), st.binary(max_size=200))
    def test_no_answer_is_taken_for_a_success(self, content_type: str, body: bytes) -> None:
        failures = batch_failures(content_type, body, 3)
        assert all(isinstance(error, ServiceError) for error in failures.values())
        assert len(failures) == 3 or b"HTTP/1.1" in body


class TestXml:
    def test_names_that_no_xml_holds_are_decoded(self) -> None:
        page = list_page(
            b'\xef\xbb\xbf<?xml version="1.0"?><EnumerationResults><Blobs>'
            b'<Blob><Name Encoded="true">a%EF%BF%BF%20b</Name><Properties>'
            b"<Last-Modified>Tue, 24 Nov 2026 15:02:25 GMT</Last-Modified><Etag>0x1</Etag>"
            b"<Content-Length>5</Content-Length><Content-Type /></Properties></Blob>"
            b"<Blob><Name>plain%20</Name><Properties>"
            b"<Last-Modified>Tue, 24 Nov 2026 15:02:25 GMT</Last-Modified>"
            b"<Etag>&quot;0x2&quot;</Etag><Content-Length>0</Content-Length></Properties></Blob>"
            b"<Blob><Name>dir</Name><Properties><ResourceType>directory</ResourceType>"
            b"<Last-Modified>Tue, 24 Nov 2026 15:02:25 GMT</Last-Modified>"
            b"<Content-Length>0</Content-Length></Properties></Blob>"
            b'<BlobPrefix><Name Encoded="true">p%EF%BF%BE/</Name></BlobPrefix>'
            b"</Blobs><NextMarker>2!1&amp;x</NextMarker></EnumerationResults>"
        )
        assert page.token == "2!1&x"
        first, second, third = page.items()
        assert isinstance(first, ListEntry)
        assert (first.name, first.size, first.etag, first.content_type) == (
            "a\uffff b",
            5,
            "0x1",
            None,
        )
        assert second == Folder("p\ufffe") or third == Folder("p\ufffe")
        assert {first.name, second.name, third.name} == {"a\uffff b", "p\ufffe", "plain%20"}

    def test_the_last_page_has_no_token(self) -> None:
        empty = b"<EnumerationResults><Blobs /><NextMarker /></EnumerationResults>"
        assert list_page(empty).token is None
        assert list_page(empty).items() == []

    def test_block_lists(self) -> None:
        body = block_list(["AAAA", "BBB="])
        assert re.findall(rb"<Uncommitted>(.*?)</Uncommitted>", body) == [b"AAAA", b"BBB="]
        told = (
            b"<BlockList><CommittedBlocks><Block><Name>AAAA</Name><Size>1</Size></Block>"
            b"<Block><Name>BBB=</Name><Size>2</Size></Block></CommittedBlocks></BlockList>"
        )
        assert list(parse_blocks(told).items()) == [("AAAA", 1), ("BBB=", 2)]

    def test_an_error_keeps_its_first_line_only_and_no_signature(self) -> None:
        body = (
            "\ufeff<?xml version='1.0'?><Error><Code>AuthenticationFailed</Code>"
            "<Message>Refused sig=canary&amp;x.\nRequestId:1 canary</Message>"
            "<AuthenticationErrorDetail>The MAC 'canary'</AuthenticationErrorDetail></Error>"
        ).encode()
        assert as_error(body) == ("AuthenticationFailed", "Refused sig=...&x.")

    @given(st.binary(max_size=300))
    def test_no_bytes_break_the_reading_of_an_error(self, data: bytes) -> None:
        as_error(data)

    @given(st.text("<>/&;EnumerationResultsBlobName \n", max_size=200))
    def test_a_listing_is_read_or_refused(self, text: str) -> None:
        try:
            parse_list(text.encode())
        except (expat.ExpatError, KeyError, ValueError):
            pass


@given(st.text(max_size=60))
def test_no_url_or_string_does_more_than_be_refused(text: str) -> None:
    for arguments in ((text, None, None), (None, text, None), (None, None, text)):
        container_url, blob_url, string = arguments
        try:
            find_place(None, None, "cont", container_url, blob_url, string, None, None, False)
        except InvalidArgumentError:
            continue


@pytest.mark.parametrize("name", ["ab", "a--b", "-ab", "ab-", "A" * 4, "a" * 64, "a_b", "$other"])
def test_names_that_no_container_has(name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        find_place("acc", KEY, name, None, None, None, None, None, False)
