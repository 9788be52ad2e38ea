"""Keys: what is refused, what is kept as it is."""

from __future__ import annotations

import unicodedata

import pytest

from ...errors import InvalidKeyError, KeyConflictError, StorageError
from ...storage import Storage
from ._base import Suite, proves

ODD_KEYS = {
    "space": "a b/ c .txt",
    "hash": "a#b.txt",
    "question": "what?.txt",
    "percent": "100%.txt",
    "percent-encoded": "a%2Fb%2e%2e",
    "plus": "a+b.txt",
    "ampersand": "a&b=c.txt",
    "quotes": 'it\'s "quoted".txt',
    "brackets": "[a]{b}(c)<d>.txt",
    "tilde": "~user/~",
    "colon": "c:d;e,f",
    "backslash": "a\\b.txt",
    "star": "*.txt",
    "pipe": "a|b^c`d",
    "dollar": "$HOME/@!",
    "dots": "a..b/...c/d..",
    "hidden": ".hidden/.file",
    "accents": "grün/ñandú.txt",
    "cjk": "文件/ファイル",
    "emoji": "📦/🚀.bin",
    "rtl": "שלום/مرحبا",
    "nfc": unicodedata.normalize("NFC", "Ångström"),
    "nfd": unicodedata.normalize("NFD", "Ångström"),
    "device": "CON/aux.txt",
    "dash": "-rf/--help",
    "long-segment": "s" * 200,
    "deep": "/".join(["d"] * 60),
    "newline-like": "a\u2028b",
}

BAD_KEYS = {
    "empty": "",
    "dot": ".",
    "dotdot": "..",
    "parent": "../secret",
    "inner-parent": "a/../../secret",
    "inner-dot": "a/./b",
    "absolute": "/etc/passwd",
    "double-slash": "a//b",
    "trailing-slash": "a/",
    "nul": "a\0b",
    "newline": "a\nb",
    "delete": "a\x7fb",
    "c1": "a\x85b",
    "surrogate": "a\udc80b",
    "temporary": ".aiostow-tmp-0123456789abcdef",
    "temporary-directory": "a/.aiostow-tmp-x/b",
}


class KeyTests(Suite):
    @pytest.mark.parametrize("key", ODD_KEYS.values(), ids=ODD_KEYS)
    async def test_odd_keys_round_trip_or_are_refused(self, storage: Storage, key: str) -> None:
        if key in self.refused_keys:
            for refused in (
                lambda: storage.write_bytes(key, b""),
                lambda: storage.read_bytes(key),
                lambda: storage.stat(key),
                lambda: storage.delete(key),
            ):
                with pytest.raises(InvalidKeyError):
                    await refused()
            assert await storage.list() == []
            return
        await storage.write_bytes(key, key.encode())
        assert await storage.read_bytes(key) == key.encode()
        assert (await storage.stat(key)).name == key
        assert [entry.name for entry in await storage.list()] == [key]
        await storage.delete(key)
        assert await storage.list() == []

    @pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
    async def test_bad_keys_are_refused_by_every_method(self, storage: Storage, key: str) -> None:
        await storage.write_bytes("good", b"good")
        with pytest.raises(InvalidKeyError):
            storage.open(key)
        with pytest.raises(InvalidKeyError):
            storage.open(key, "w")
        for call in (
            lambda: storage.stat(key),
            lambda: storage.exists(key),
            lambda: storage.read_bytes(key),
            lambda: storage.write_bytes(key, b""),
            lambda: storage.delete(key),
            lambda: storage.delete_many([key]),
            lambda: storage.copy(key, "x"),
            lambda: storage.copy("good", key),
            lambda: storage.move(key, "x"),
            lambda: storage.move("good", key),
        ):
            with pytest.raises(InvalidKeyError) as caught:
                await call()
            assert caught.value.operation is not None
            assert caught.value.storage == storage.name
        assert [entry.name for entry in await storage.list()] == ["good"]

    async def test_normal_forms_are_different_keys_or_refused(self, storage: Storage) -> None:
        composed = unicodedata.normalize("NFC", "é")
        decomposed = unicodedata.normalize("NFD", "é")
        await storage.write_bytes(composed, b"composed")
        await storage.write_bytes(decomposed, b"decomposed")
        assert await storage.read_bytes(composed) == b"composed"
        assert await storage.read_bytes(decomposed) == b"decomposed"

    async def test_a_key_of_1024_bytes_round_trips_or_is_refused(self, storage: Storage) -> None:
        key = "/".join(["k" * 63] * 16) + "k"
        assert len(key.encode()) == 1024
        try:
            await storage.write_bytes(key, b"long")
        except StorageError:
            assert await storage.list() == []
        else:
            assert await storage.read_bytes(key) == b"long"

    async def test_a_segment_of_1000_bytes_round_trips_or_is_an_invalid_key(
        self, storage: Storage
    ) -> None:
        key = "k" * 1000
        try:
            await storage.write_bytes(key, b"long")
        except InvalidKeyError:
            assert await storage.list() == []
        else:
            assert await storage.read_bytes(key) == b"long"

    async def test_a_beside_a_b_is_kept_apart_or_a_conflict(self, storage: Storage) -> None:
        await storage.write_bytes("a", b"file")
        if storage.capabilities.nested_keys:
            await storage.write_bytes("a/b", b"below")
            assert await storage.read_bytes("a/b") == b"below"
        else:
            with pytest.raises(KeyConflictError):
                await storage.write_bytes("a/b", b"below")
        assert await storage.read_bytes("a") == b"file"

    async def test_a_b_beside_a_is_kept_apart_or_a_conflict(self, storage: Storage) -> None:
        await storage.write_bytes("a/b", b"below")
        if storage.capabilities.nested_keys:
            await storage.write_bytes("a", b"file")
            assert await storage.read_bytes("a") == b"file"
        else:
            for mode in ("w", "x"):
                with pytest.raises(KeyConflictError):
                    async with storage.open("a", mode) as file:
                        await file.write(b"file")
        assert await storage.read_bytes("a/b") == b"below"

    async def test_emptied_folders_are_in_nobodys_way(self, storage: Storage) -> None:
        await storage.write_bytes("a/b/c", b"1")
        await storage.delete("a/b/c")
        await storage.write_bytes("a", b"2")
        assert await storage.read_bytes("a") == b"2"

    @proves("errors-mapped")
    async def test_errors_name_operation_key_and_storage(self, storage: Storage) -> None:
        with pytest.raises(StorageError) as caught:
            await storage.read_bytes("there/is/none")
        assert caught.value.operation == "read_bytes"
        assert caught.value.key == "there/is/none"
        assert caught.value.storage == storage.name
        assert "'there/is/none'" in str(caught.value)
