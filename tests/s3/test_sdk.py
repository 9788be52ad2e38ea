"""What stays with the SDK: endpoints, credentials, sessions; and how a service is reached."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import aioboto3
import aiobotocore.session
import pytest
from botocore.config import Config

from aiostow import (
    CredentialsError,
    InvalidArgumentError,
    NotSupportedError,
    PermissionDeniedError,
    S3Storage,
    StorageNotFoundError,
    UnreachableError,
)
from aiostow.backends import _s3_sdk
from aiostow.backends._s3_config import S3Config
from aiostow.backends._s3_rest import RestPlane
from aiostow.backends._s3_sdk import Endpoint, Sdk
from aiostow.backends._s3_sdk_plane import SdkPlane
from tests.rest.loops import check_loops_and_forks
from tests.servers import S3Server, ministack
from tests.servers.front import answer, front

from ._suite import MakeStorage

pytestmark = pytest.mark.anyio
KEYS: dict[str, Any] = {"access_key_id": "AKID", "secret_access_key": "secret"}


@pytest.fixture(params=["ceph"])
def server(request: pytest.FixtureRequest, start_server: Callable[[str], S3Server]) -> S3Server:
    return start_server(request.param)


async def endpoint(**config: Any) -> Endpoint:
    sdk = await Sdk.open(S3Config(**{"bucket": "my-bucket", **KEYS, **config}))
    await sdk.aclose()
    return sdk.endpoint


class TestEndpoints:
    @pytest.mark.parametrize(
        ("config", "url", "region"),
        [
            ({"region": "eu-west-1"}, "https://my-bucket.s3.eu-west-1.amazonaws.com/", "eu-west-1"),
            (
                {"region": "eu-west-1", "bucket": "my.dotted"},
                "https://s3.eu-west-1.amazonaws.com/my.dotted/",
                "eu-west-1",
            ),
            (
                {"region": "us-west-2", "dualstack": True},
                "https://my-bucket.s3.dualstack.us-west-2.amazonaws.com/",
                "us-west-2",
            ),
            (
                {"region": "us-east-1", "fips": True},
                "https://my-bucket.s3-fips.us-east-1.amazonaws.com/",
                "us-east-1",
            ),
            (
                {"region": "cn-north-1"},
                "https://my-bucket.s3.cn-north-1.amazonaws.com.cn/",
                "cn-north-1",
            ),
            (
                {"region": "eu-west-1", "addressing_style": "path"},
                "https://s3.eu-west-1.amazonaws.com/my-bucket/",
                "eu-west-1",
            ),
            (
                {"region": "r", "endpoint_url": "http://127.0.0.1:9000"},
                "http://127.0.0.1:9000/my-bucket/",
                "r",
            ),
            (
                {"region": "r", "endpoint_url": "https://s3.example.org/base"},
                "https://s3.example.org/base/my-bucket/",
                "r",
            ),
            (
                {
                    "region": "r",
                    "endpoint_url": "https://s3.example.org",
                    "addressing_style": "virtual",
                },
                "https://my-bucket.s3.example.org/",
                "r",
            ),
            (
                {
                    "region": "us-west-2",
                    "client_config": Config(s3={"use_accelerate_endpoint": True}),
                },
                "https://my-bucket.s3-accelerate.amazonaws.com/",
                "us-west-2",
            ),
        ],
    )
    async def test_it_is_the_sdks(self, config: dict[str, Any], url: str, region: str) -> None:
        found = await endpoint(**config)
        assert found.origin + found.base == url
        assert found.region == region
        assert found.plain
        assert found.aws == ("amazonaws" in url)

    @pytest.mark.parametrize(
        "bucket",
        ["arn:aws:s3:us-west-2:123456789012:accesspoint/my-point", "bucket--usw2-az1--x-s3"],
    )
    async def test_what_is_signed_in_other_ways_goes_by_the_sdk(self, bucket: str) -> None:
        assert not (await endpoint(bucket=bucket, region="us-west-2")).plain
        storage = S3Storage(bucket, "us-west-2", "AKID", "secret")
        await storage.driver.connect()
        assert isinstance(storage.driver._plane, SdkPlane)
        with pytest.raises(NotSupportedError):
            await storage.link_to("k", "download", 60)
        await storage.aclose()

    async def test_a_custom_signer_goes_by_the_sdk(self) -> None:
        storage = S3Storage(
            "bucket", "us-west-2", "AKID", "secret", client_config=Config(signature_version="s3")
        )
        await storage.driver.connect()
        assert isinstance(storage.driver._plane, SdkPlane)
        await storage.aclose()

    async def test_everything_else_is_signed_by_us(self) -> None:
        for arguments in ({}, {"anonymous": True}):
            keys = {} if arguments else {f"aws_{name}": value for name, value in KEYS.items()}
            storage = S3Storage("bucket", "us-west-2", **arguments, **keys)  # type: ignore[arg-type]
            await storage.driver.connect()
            assert isinstance(storage.driver._plane, RestPlane)
            await storage.aclose()

    async def test_the_environment_names_an_endpoint(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000")
        storage = S3Storage("b-b", "r", "AKID", "secret")
        assert storage.driver.identity == "s3:http://127.0.0.1:9000/b-b"
        assert not storage.capabilities.if_match
        assert S3Storage("b-b", "r", "AKID", "s").driver.identity == storage.driver.identity
        monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
        assert S3Storage("b-b", "r", "AKID", "s").driver.identity == "s3:aws/b-b"

    async def test_an_endpoint_of_a_profile_is_not_taken_for_aws(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        text = "[profile p]\nregion=r\nendpoint_url=http://127.0.0.1:9000\n"
        (tmp_path / "config").write_text(text + "aws_access_key_id=A\naws_secret_access_key=s\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        storage = S3Storage("bucket", aws_profile="p")
        await storage.driver.connect()
        assert storage.driver.sdk.endpoint.origin == "http://127.0.0.1:9000"
        assert not storage.driver.conditional_complete
        await storage.aclose()


class TestCredentials:
    async def test_from_the_environment(
        self, server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
        async with S3Storage(bucket, "us-east-1", endpoint_url=server.endpoint_url) as storage:
            await storage.write_bytes("k", b"1")

    async def test_from_a_profile(
        self, server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "credentials").write_text(
            f"[p]\naws_access_key_id={server.access_key}\n"
            f"aws_secret_access_key={server.secret_key}\n"
        )
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        async with S3Storage(
            bucket, "us-east-1", aws_profile="p", endpoint_url=server.endpoint_url
        ) as storage:
            await storage.write_bytes("k", b"1")

    async def test_from_a_session_of_the_applications(self, server: S3Server, bucket: str) -> None:
        ours = aioboto3.Session(server.access_key, server.secret_key)
        plain = aiobotocore.session.AioSession()
        plain.set_credentials(server.access_key, server.secret_key)
        for session in (ours, plain):
            async with S3Storage(
                bucket, "us-east-1", session=session, endpoint_url=server.endpoint_url
            ) as storage:
                await storage.write_bytes("k", b"1")

    def profile(self, server: S3Server, folder: Path, lifetime: timedelta) -> Path:
        """Return a configuration whose credentials are temporary, and counted."""
        program = folder / "issue.py"
        program.write_text(
            "import json, datetime, pathlib\n"
            f"count = pathlib.Path({str(folder / 'count')!r})\n"
            "count.write_text(str(int(count.read_text()) + 1 if count.exists() else 1))\n"
            "now = datetime.datetime.now(datetime.timezone.utc)\n"
            f"ends = now + datetime.timedelta(seconds={lifetime.total_seconds()})\n"
            f"print(json.dumps({{'Version': 1, 'AccessKeyId': {server.access_key!r},\n"
            f"  'SecretAccessKey': {server.secret_key!r}, 'Expiration': ends.isoformat()}}))\n"
        )
        config = folder / "config"
        config.write_text(f"[profile p]\ncredential_process={sys.executable} {program}\n")
        return config

    async def test_temporary_ones_are_refreshed(
        self, server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        config = self.profile(server, tmp_path, timedelta(seconds=5))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        async with S3Storage(
            bucket, "us-east-1", aws_profile="p", endpoint_url=server.endpoint_url
        ) as storage:
            for _ in range(3):
                await storage.write_bytes("k", b"1")
        assert int((tmp_path / "count").read_text()) >= 3

    async def test_no_link_outlives_them(
        self, server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        config = self.profile(server, tmp_path, timedelta(hours=1))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        async with S3Storage(
            bucket, "us-east-1", aws_profile="p", endpoint_url=server.endpoint_url
        ) as storage:
            await storage.link_to("k", "download", timedelta(minutes=50))
            with pytest.raises(InvalidArgumentError, match="outlive"):
                await storage.link_to("k", "download", timedelta(minutes=70))

    async def test_missing_ones_are_told(self, server: S3Server, bucket: str) -> None:
        for data_plane in ("auto", "sdk"):
            async with S3Storage(
                bucket,
                "r",
                endpoint_url=server.endpoint_url,
                data_plane=data_plane,
            ) as storage:
                with pytest.raises(CredentialsError, match="aws_access_key_id"):
                    await storage.read_bytes("k")
                with pytest.raises(CredentialsError):
                    await storage.link_to("k", "download", 60)

    async def test_an_unknown_profile_is_told(self, server: S3Server) -> None:
        with pytest.raises(InvalidArgumentError, match="nobody"):
            S3Storage("bucket", aws_profile="nobody")
            async with S3Storage("bucket", "r", aws_profile="nobody") as storage:
                await storage.read_bytes("k")

    async def test_anonymous_access_reads_what_is_public(
        self, server: S3Server, bucket: str, make_storage: MakeStorage
    ) -> None:
        async with make_storage(acl="public-read") as storage:
            await storage.write_bytes("public", b"for all")
        async with make_storage() as storage:
            await storage.write_bytes("private", b"for me")
        async with S3Storage(
            bucket, "us-east-1", anonymous=True, endpoint_url=server.endpoint_url
        ) as storage:
            assert await storage.read_bytes("public") == b"for all"
            with pytest.raises(PermissionDeniedError):
                await storage.read_bytes("private")
            with pytest.raises(CredentialsError, match="anonymous"):
                await storage.link_to("public", "download", 60)


class TestWays:
    async def test_a_redirect_to_another_region_is_followed_once(
        self, server: S3Server, make_storage: MakeStorage
    ) -> None:
        requests: list[bytes] = []

        def decide(head: bytes) -> bytes:
            requests.append(head)
            if b"/us-east-1/s3/" in head:
                return head
            body = (
                b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message>"
                b"<Region>us-east-1</Region></Error>"
            )
            return answer("400 Bad Request", body)

        async with front(server.port, decide) as port:
            url = f"http://127.0.0.1:{port}"
            async with make_storage(endpoint_url=url, aws_region="eu-north-1") as storage:
                await storage.write_bytes("k", b"data")
                assert await storage.read_bytes("k") == b"data"
                assert [entry.name for entry in await storage.list()] == ["k"]
        assert sum(b"/eu-north-1/" in head for head in requests) == 1

    async def test_requests_under_way_survive_a_redirect(
        self, server: S3Server, make_storage: MakeStorage
    ) -> None:
        redirected = 0

        async def decide(head: bytes) -> bytes:
            nonlocal redirected
            if b"/us-east-1/s3/" in head:
                return head
            redirected += 1
            await asyncio.sleep(0.02 * redirected)  # the last long after the first moved on
            return answer("301 Moved Permanently", x_amz_bucket_region="us-east-1")

        async with front(server.port, decide) as port:
            url = f"http://127.0.0.1:{port}"
            async with make_storage(endpoint_url=url, aws_region="eu-north-1") as storage:
                await asyncio.gather(*(storage.write_bytes(f"k{i}", b"1") for i in range(20)))
                assert len(await storage.list()) == 20
        assert redirected > 1

    async def test_a_redirect_without_a_region_is_told(
        self, server: S3Server, make_storage: MakeStorage
    ) -> None:
        def decide(head: bytes) -> bytes:
            body = b"<Error><Code>PermanentRedirect</Code><Message>m</Message></Error>"
            return answer("301 Moved Permanently", body)

        async with front(server.port, decide) as port:
            async with make_storage(endpoint_url=f"http://127.0.0.1:{port}") as storage:
                with pytest.raises(InvalidArgumentError, match="region"):
                    await storage.read_bytes("k")

    async def test_a_proxy_is_used(
        self, server: S3Server, make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[bytes] = []
        origin = server.endpoint_url.encode()

        def decide(head: bytes) -> bytes:
            asked.append(head)
            return head.replace(origin, b"", 1)

        async with front(server.port, decide) as port:
            url = f"http://127.0.0.1:{port}"
            async with make_storage(proxies={"http": url}) as storage:
                await storage.write_bytes("k", b"data")
                assert await storage.read_bytes("k") == b"data"
            assert len(asked) == 2
            monkeypatch.setenv("HTTP_PROXY", url)
            monkeypatch.setenv("http_proxy", url)
            async with make_storage() as storage:
                assert await storage.read_bytes("k") == b"data"
            assert len(asked) == 3
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            async with make_storage() as storage:
                assert await storage.read_bytes("k") == b"data"
            assert len(asked) == 3
        with pytest.raises(UnreachableError, match="proxy"):
            async with make_storage(proxies={"http": "http://127.0.0.1:9"}) as storage:
                await storage.read_bytes("k")

    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Path:
        bundle = tmp_path / "cert.pem"
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                "-keyout", str(tmp_path / "key.pem"), "-out", str(bundle),
            ],
            check=True, capture_output=True,
        )  # fmt: skip
        return bundle

    async def test_certificates_are_checked(self, bundle: Path, tmp_path: Path) -> None:
        with ministack(tmp_path / "server", tls=(bundle, tmp_path / "key.pem")) as server:
            keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
            there: dict[str, Any] = {"endpoint_url": server.endpoint_url, **keys}
            for verify in (str(bundle), False):
                async with S3Storage("bucket", "us-east-1", verify=verify, **there) as storage:
                    with pytest.raises(StorageNotFoundError):
                        await storage.read_bytes("k")
            for data_plane in ("auto", "sdk"):
                async with S3Storage(
                    "bucket", "us-east-1", data_plane=data_plane, **there
                ) as storage:
                    with pytest.raises(UnreachableError):
                        await storage.read_bytes("k")

    async def test_both_extras_make_a_session(
        self,
        server: S3Server,
        make_storage: MakeStorage,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Without aioboto3, as with the extra that leaves it out."""
        monkeypatch.setattr(_s3_sdk, "aioboto3", None)
        async with make_storage() as storage:
            await storage.write_bytes("k", b"data")
            assert await storage.copy("k", "l")

    def test_another_loop_gets_connections_of_its_own(self, make_storage: MakeStorage) -> None:
        storage = make_storage()

        async def work(number: int) -> None:
            await storage.write_bytes("k", b"%d" % number)
            assert await storage.read_bytes("k") == b"%d" % number
            await storage.driver.aclose()

        for number in range(3):
            asyncio.run(work(number))

    def test_loops_that_ended_and_forks_get_connections_of_their_own(
        self, server: S3Server, bucket: str
    ) -> None:
        check_loops_and_forks(
            f"S3Storage({bucket!r}, 'us-east-1', {server.access_key!r}, {server.secret_key!r}, "
            f"endpoint_url={server.endpoint_url!r})"
        )

    def test_a_missing_extra_says_which(self) -> None:
        code = (
            "import sys; sys.modules['aiobotocore'] = None\n"
            "import aiostow\n"
            "try: aiostow.S3Storage\n"
            "except ImportError as exc: print(exc)\n"
        )
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "aiostow[s3]" in out.stdout, out.stderr
