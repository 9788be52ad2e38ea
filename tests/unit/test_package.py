"""The package: what it exports, when it imports what, and how it behaves where it cannot work."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import aiostow

EXPORTS = [
    "AmbiguousWriteError",
    "BlockingCallError",
    "Capabilities",
    "ClosedError",
    "ConnectionLostError",
    "CredentialsError",
    "DeleteManyError",
    "ExpiredLinkError",
    "FileExistsInStorageError",
    "FileMode",
    "FileNotFoundInStorageError",
    "Folder",
    "HostKeyError",
    "IntegrityError",
    "InternalLinkTokenData",
    "InternalLinksStorageBackend",
    "InvalidArgumentError",
    "InvalidKeyError",
    "InvalidLinkError",
    "InvalidTypeError",
    "IsADirectoryInStorageError",
    "KeyConflictError",
    "Leftover",
    "Link",
    "LinkTooLongError",
    "ListEntry",
    "LocalFSStorage",
    "MemoryBudgetError",
    "MemoryStorage",
    "NotAFileError",
    "NotSupportedError",
    "ObjectChangedError",
    "PermissionDeniedError",
    "ProfileError",
    "Profiles",
    "Reader",
    "ResourceLimitError",
    "ServiceUnavailableError",
    "ShareLinkOperation",
    "ShortReadError",
    "Storage",
    "StorageError",
    "StorageFullError",
    "StorageIOError",
    "StorageNotFoundError",
    "StorageOperations",
    "Support",
    "SyncStorageOperations",
    "UnknownProfileError",
    "UnreachableError",
    "UnsupportedOperationError",
    "UpdateFile",
    "WriteConflictError",
    "WriteOptions",
    "Writer",
    "as_mode",
    "as_operation",
]

# Named alone, since each needs an extra: a star must not fail where that is not installed.
BACKENDS = ["AzureStorage", "S3Storage", "SFTPStorage"]

# What a backend brings, and what nobody pays for who does not use it.
HEAVY = (
    "aioboto3", "aiobotocore", "boto3", "botocore", "aiohttp", "azure", "asyncssh",
    "pytest", "anyio", "starlette", "flask", "django",
)  # fmt: skip


def run(script: str, *arguments: str) -> list[str]:
    """Run a script in a fresh interpreter, with warnings as errors, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


# -- what is there --------------------------------------------------------------------------------


def test_the_exports_are_these() -> None:
    """A name that goes breaks whoever imports it: that is a decision, never an accident."""
    assert sorted(aiostow.__all__) == sorted(EXPORTS)
    assert len(set(aiostow.__all__)) == len(aiostow.__all__)


@pytest.mark.parametrize("name", EXPORTS + BACKENDS)
def test_every_export_is_there_and_documented(name: str) -> None:
    value = getattr(aiostow, name)
    assert value.__name__ == name
    assert value.__module__.split(".")[0] == "aiostow"
    assert inspect.getdoc(value)


def test_a_star_gives_all_exports_and_nothing_else() -> None:
    names: dict[str, object] = {}
    exec("from aiostow import *", names)
    names.pop("__builtins__")
    assert sorted(names) == sorted(EXPORTS)


def test_dir_lists_the_exports() -> None:
    assert sorted(dir(aiostow)) == sorted(EXPORTS + BACKENDS)


def test_all_errors_of_the_library_are_exported() -> None:
    errors = importlib.import_module("aiostow.errors")
    assert set(errors.__all__) <= set(aiostow.__all__)


@pytest.mark.parametrize("name", ["Nothing", "S3Storage2", "localfsstorage", "_nothing", ""])
def test_an_unknown_name_is_an_attribute_error_that_tells_it(name: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(aiostow, name)
    assert str(caught.value) == f"module 'aiostow' has no attribute {name!r}"
    assert not hasattr(aiostow, name)


def test_an_unknown_name_cannot_be_imported() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Nothing' from 'aiostow'"):
        exec("from aiostow import Nothing")


def test_types_are_there_for_whoever_checks_them() -> None:
    assert (Path(aiostow.__file__).parent / "py.typed").exists()


# -- what is imported when ------------------------------------------------------------------------

LOADED = """
    import sys
    before = set(sys.modules)
    exec(sys.argv[1])
    loaded = {name for name in set(sys.modules) - before}
    print(*sorted(name for name in loaded if name.startswith("aiostow.backends")))
    print(*sorted({name.split(".")[0] for name in loaded} & set(sys.argv[2].split())))
"""


def loaded(statement: str) -> tuple[list[str], list[str]]:
    """Return the backends and the heavy packages that a statement imports."""
    backends, heavy = run(LOADED, statement, " ".join(HEAVY))
    return backends.split(), heavy.split()


def test_importing_the_package_imports_no_backend_and_no_sdk() -> None:
    assert loaded("import aiostow") == ([], [])


def test_looking_around_imports_no_backend_either() -> None:
    statement = "import aiostow; dir(aiostow); aiostow.__all__; aiostow.Storage; aiostow.errors"
    assert loaded(statement) == ([], [])


def test_naming_a_backend_imports_that_one_alone() -> None:
    memory = ["aiostow.backends", "aiostow.backends.memory"]
    assert loaded("from aiostow import MemoryStorage") == (memory, [])
    assert loaded("import aiostow; aiostow.MemoryStorage") == (memory, [])
    backends, heavy = loaded("from aiostow import LocalFSStorage")
    assert "aiostow.backends.local" in backends
    assert "aiostow.backends.memory" not in backends
    assert heavy == []


def test_a_backend_is_the_same_class_however_it_is_named() -> None:
    for name, module in (("MemoryStorage", "memory"), ("LocalFSStorage", "local")):
        backend = importlib.import_module(f"aiostow.backends.{module}")
        assert getattr(aiostow, name) is getattr(backend, name)
        assert issubclass(getattr(aiostow, name), aiostow.Storage)


# -- where there is no POSIX ----------------------------------------------------------------------

# What Windows lacks is taken away once the standard library, which would need it here, is loaded.
WINDOWS = """
    import asyncio, io, os, pathlib, subprocess, sys, tempfile, warnings
    from concurrent.futures import ThreadPoolExecutor
    import aiofiles, pendulum

    for name in (
        "O_NOFOLLOW", "O_DIRECTORY", "O_TMPFILE", "O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK",
        "pread", "pwrite", "preadv", "pwritev", "copy_file_range", "fork", "fchmod", "link",
    ):
        if hasattr(os, name):
            delattr(os, name)
    os.supports_dir_fd = set()
    os.supports_follow_symlinks = set()
    os.supports_fd = set()
    sys.modules["fcntl"] = None
    assert not any(name.startswith("aiostow") for name in sys.modules)
"""

IMPORTING = """
    import aiostow, aiostow.backends.local, aiostow.backends.memory
    print(aiostow.LocalFSStorage.__name__)
"""

IN_MEMORY = """
    from aiostow import MemoryStorage

    async def main():
        data = bytes(range(256)) * 40_000
        async with MemoryStorage() as storage:
            await storage.write_bytes("a/k", b"data")
            async with storage.open("a/k", "rw") as file:
                await file.write(b"D")
            print(await storage.read_bytes("a/k"))
            async with storage.open("large", "w") as file:
                await file.write(data)
            await storage.upload(io.BytesIO(data), "uploaded")
            sink = io.BytesIO()
            await storage.download("uploaded", sink)
            assert sink.getvalue() == data
            mine = os.path.join(sys.argv[1], "mine")
            with open(mine, "wb") as file:
                file.write(data)
            await storage.put(mine, "put")
            assert await storage.read_bytes("put") == data
            await storage.copy("put", "copied")
            await storage.move("copied", "moved")
            print(*[entry.name for entry in await storage.list()])
            await storage.delete_many(["put", "moved", "uploaded", "large"])
            print(await storage.sweep())

    asyncio.run(main())
"""

GETTING = """
    from aiostow import MemoryStorage, UnsupportedOperationError

    async def main():
        async with MemoryStorage() as storage:
            await storage.write_bytes("k", b"data")
            try:
                await storage.get("k", os.path.join(sys.argv[1], "got"))
            except UnsupportedOperationError as error:
                print(error)
        print(os.listdir(sys.argv[1]))

    asyncio.run(main())
"""

ON_DISK = """
    import pickle
    from aiostow import LocalFSStorage, StorageError, UnsupportedOperationError

    try:
        LocalFSStorage(os.path.join(sys.argv[1], "root"))
    except UnsupportedOperationError as error:
        print(error)
        assert isinstance(error, (StorageError, io.UnsupportedOperation))
    print(os.listdir(sys.argv[1]))
"""

LACKING = "this system lacks directory descriptors, O_NOFOLLOW, flock, without which"


def test_without_posix_everything_can_be_imported() -> None:
    assert run(WINDOWS + IMPORTING) == ["LocalFSStorage"]


def test_without_posix_memory_works(tmp_path: Path) -> None:
    assert run(WINDOWS + IN_MEMORY, str(tmp_path)) == [
        "b'Data'",
        "a/k large moved put uploaded",
        "0",
    ]


def test_without_posix_a_disk_is_refused_at_once_with_what_is_lacking(tmp_path: Path) -> None:
    message, left = run(WINDOWS + ON_DISK, str(tmp_path))
    assert message.startswith("LocalFSStorage needs Linux or macOS: ")
    assert LACKING in message
    assert left == "[]"


def test_without_posix_local_paths_are_not_written_unsafely(tmp_path: Path) -> None:
    message, left = run(WINDOWS + GETTING, str(tmp_path))
    assert message.startswith("get 'k' in storage 'memory': writing a local path needs Linux")
    assert LACKING in message
    assert left == "[]"


@pytest.mark.parametrize(
    ("take", "lacking"),
    [
        ("os.supports_dir_fd = set()", "directory descriptors"),
        ("del os.O_NOFOLLOW", "O_NOFOLLOW"),
        ("import sys; sys.modules['fcntl'] = None", "flock"),
    ],
)
def test_each_thing_that_is_lacking_is_named(take: str, lacking: str, tmp_path: Path) -> None:
    script = "\n".join(
        [
            "import asyncio, io, os, subprocess, sys, tempfile, aiofiles, pendulum",
            take,
            textwrap.dedent(ON_DISK),
        ]
    )
    message, left = run(script, str(tmp_path))
    assert f"this system lacks {lacking}, without which" in message
    assert left == "[]"


# -- what is not there ----------------------------------------------------------------------------

# By the extra: what is imported, and what that brings in.
EXTRAS = {
    "s3": ("from aiostow import S3Storage", "aiobotocore"),
    "azure": ("from aiostow import AzureStorage", "azure"),
    "sftp": ("from aiostow import SFTPStorage", "asyncssh"),
    "endpoint": ("import aiostow.integrations.asgi", "python_multipart"),
    "flask": ("import aiostow.integrations.flask", "flask"),
    "django": ("import aiostow.integrations.django", "django"),
}


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_missing_extra_says_which_to_install(extra: str) -> None:
    statement, package = EXTRAS[extra]
    printed = run(
        f"""
        import sys
        sys.modules[{package!r}] = None  # as if it were not installed
        try:
            {statement}
        except ImportError as exc:
            print(exc)
        """
    )
    assert printed[-1].endswith(f"needs the extra '{extra}': pip install 'aiostow[{extra}]'")


def test_the_package_alone_imports_next_to_nothing() -> None:
    """A program that only tells its options starts by this import."""
    heavy = run(
        "import sys, aiostow; print(*sorted({*sys.modules} & {'jwt', 'pendulum', 'asyncio'}))"
    )
    assert heavy == [""]


def test_modules_of_exports_are_there_without_being_imported() -> None:
    assert run("import aiostow; print(aiostow.errors.StorageError.__name__)") == ["StorageError"]
