"""nginx in front of an application, which hands it the files that are to be sent."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ._process import free_ports, need, process, wait_for_http

_INSTALL = "apt-get install nginx-light"

_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr warn;
{user}
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 0;
        location / {{ proxy_pass http://127.0.0.1:{behind}; }}
        location /protected/ {{
            internal;
            alias {root}/;
            add_header X-Content-Type-Options nosniff;
            add_header Content-Security-Policy "default-src 'none'; sandbox";
            add_header Cross-Origin-Resource-Policy same-origin;
            add_header Referrer-Policy no-referrer;
        }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(folder: Path, behind: int, root: Path) -> Iterator[int]:
    """Run nginx within the block, and give its port.

    Args:
        folder: an empty one, for all its files.
        behind: the port of the application.
        root: of the storage, at the internal location ``/protected/``.

    Raises:
        Missing: it is not installed.
    """
    program = need("nginx", _INSTALL)
    (port,) = free_ports(1)
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(
        _CONFIGURATION.format(folder=folder, port=port, behind=behind, root=root, user=user)
    )
    log = folder / "log"
    with process([program, "-c", str(config), "-p", str(folder), "-e", "stderr"], log) as started:
        wait_for_http(port, started, log)
        yield port
