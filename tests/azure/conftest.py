"""Azurite for all tests of Azure, a container for each."""

from __future__ import annotations

import contextlib
import functools
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import BlobServiceClient

from aiostow import AzureStorage
from aiostow.testing import FaultProxy
from tests.servers import AzuriteServer, azurite
from tests.servers.running import Start, running

from ._suite import ACCOUNT, MakeStorage, Prepare

MIB = 1 << 20


@pytest.fixture(scope="session", autouse=True)
def no_settings() -> Iterator[None]:
    """Nothing of this machine's settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            patch.delenv(name, raising=False)
            patch.delenv(name.lower(), raising=False)
        yield


@pytest.fixture(scope="session")
def certificate(
    tmp_path_factory: pytest.TempPathFactory, need_program: Callable[[str], str]
) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "tls.crt", folder / "tls.key"
    subprocess.run(
        [
            need_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
            "-out", str(paths[0]), "-keyout", str(paths[1]),
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return paths


@pytest.fixture(scope="session")
def start_server(
    tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]
) -> Iterator[Callable[[str], AzuriteServer]]:
    """Return Azurite by its scheme, started when it is first asked for."""
    starts: Mapping[str, Start[AzuriteServer]] = {
        "http": azurite,
        "https": functools.partial(azurite, tls=certificate),
    }
    with running(starts, tmp_path_factory.mktemp("servers")) as server:
        yield server


@pytest.fixture
def server(start_server: Callable[[str], AzuriteServer]) -> AzuriteServer:
    """Azurite over http."""
    return start_server("http")


@pytest.fixture
def secure_server(start_server: Callable[[str], AzuriteServer]) -> AzuriteServer:
    """Azurite over https, which takes tokens."""
    return start_server("https")


@pytest.fixture
def proxy(server: AzuriteServer) -> Iterator[FaultProxy]:
    """A way to the server on which anything can go wrong."""
    with FaultProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def prepare() -> Iterator[Prepare]:
    """Return the SDK's client of a new container, to prepare and to look."""
    with contextlib.ExitStack() as stack:

        def container(server: AzuriteServer, account: str = ACCOUNT) -> Any:
            # A container's client cannot close the connections, which are the service's.
            service = stack.enter_context(
                BlobServiceClient(
                    server.endpoint(account),
                    credential=AzureNamedKeyCredential(account, server.accounts[account]),
                    connection_verify=True
                    if server.certificate is None
                    else str(server.certificate),
                )
            )
            return service.create_container(f"test-{uuid4().hex[:16]}")

        yield container


@pytest.fixture
def container(server: AzuriteServer, prepare: Prepare) -> Iterator[Any]:
    """The SDK's client of a new container."""
    client = prepare(server)
    yield client
    client.delete_container()


@pytest.fixture
def make_storage(server: AzuriteServer, container: Any) -> MakeStorage:
    """Return a storage on the container, with arguments of the test's own."""

    def make(**own: Any) -> AzureStorage:
        arguments = {
            "account": ACCOUNT,
            "key": server.accounts[ACCOUNT],
            "bucket": container.container_name,
            "endpoint": server.endpoint(ACCOUNT),
        }
        return AzureStorage(**{**arguments, **own})

    return make


@pytest.fixture
def make_secure(secure_server: AzuriteServer, prepare: Prepare) -> MakeStorage:
    """Return a storage on a new container over https, for a credential of the test's own."""
    name = prepare(secure_server).container_name

    def make(credential: Any, **own: Any) -> AzureStorage:
        arguments = {
            "account": ACCOUNT,
            "bucket": name,
            "endpoint": secure_server.endpoint(ACCOUNT),
            "verify": str(secure_server.certificate),
        }
        return AzureStorage(credential=credential, **{**arguments, **own})

    return make
