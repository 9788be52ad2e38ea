"""Put a file into a local storage, list it, stream it back, and compare hashes.

python examples/quickstart.py FILE
"""

import asyncio
import hashlib
import sys
import tempfile
from pathlib import Path

from aiostow import LocalFSStorage


async def main(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with LocalFSStorage(folder) as storage:
            key = f"documents/{path.name}"
            await storage.put(path, key)
            print(f"put      {path} -> {key}")

            async for entry in storage.list("documents/"):
                print(f"listed   {entry.name}, {entry.size} bytes, {entry.last_modified}")

            digest = hashlib.sha256()
            async with storage.open(key) as file:
                async for chunk in file:
                    digest.update(chunk)
            print(f"streamed {file.size} bytes back")

    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest.hexdigest() != expected:
        sys.exit(f"sha256 differs: {digest.hexdigest()}, not {expected}")
    print(f"sha256   {expected}: identical")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    asyncio.run(main(Path(sys.argv[1])))
