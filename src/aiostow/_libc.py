"""System calls that Python's os module lacks, and what this system offers of them."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
import sys
from collections.abc import Callable
from typing import Any

_SYS_OPENAT2 = 437  # the same number on every Linux architecture
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_RENAME_NOREPLACE = 1  # Linux
_RENAME_EXCL = 4  # macOS


@functools.cache
def _library() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _call(function: Callable[..., int], *args: Any) -> int:
    while True:
        result = function(*args)
        if result >= 0:
            return result
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))


def openat2(directory: int, path: str, flags: int, mode: int = 0) -> int:
    """Open `path` below a directory; no symlink is followed and nothing leads out of it.

    Raises:
        OSError: ELOOP for a symlink, EXDEV for a way out, and as `os.open`.
    """
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS)
    return _call(
        _library().syscall,
        ctypes.c_long(_SYS_OPENAT2),
        ctypes.c_int(directory),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.c_char_p(how),
        ctypes.c_size_t(len(how)),
    )


@functools.cache
def has_openat2() -> bool:
    """Whether the kernel has openat2 (Linux 5.6) and lets this process use it."""
    if not sys.platform.startswith("linux"):
        return False
    directory = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.close(openat2(directory, ".", os.O_RDONLY | os.O_DIRECTORY))
    except OSError:
        return False
    finally:
        os.close(directory)
    return True


def rename_noreplace(directory: int, src: str, dst: str, dst_directory: int) -> None:
    """Rename, but never over an existing name.

    Raises:
        OSError: EEXIST when `dst` exists; ENOSYS, EINVAL or ENOTSUP when the system or file system
            cannot.
    """
    if sys.platform == "darwin":
        function, flag = "renameatx_np", _RENAME_EXCL
    else:
        function, flag = "renameat2", _RENAME_NOREPLACE
    try:
        rename = getattr(_library(), function)
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    _call(
        rename,
        ctypes.c_int(directory),
        ctypes.c_char_p(os.fsencode(src)),
        ctypes.c_int(dst_directory),
        ctypes.c_char_p(os.fsencode(dst)),
        ctypes.c_uint(flag),
    )
