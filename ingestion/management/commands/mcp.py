from __future__ import annotations

from typing import Any

import uvicorn
from django.core.management.base import BaseCommand, CommandParser

from ingestion import access
from ingestion.management.options import port
from ingestion.mcp.over_http import http_app
from ingestion.mcp.server import server


class Command(BaseCommand):
    help = (
        "The MCP server for assistants: on standard input and output, or with --http on "
        "http://HOST:PORT/mcp. A token of the HTTP API is asked for, except from programs on this "
        "machine that ask it directly, as localhost."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--http", action="store_true", help="serve streamable HTTP at /mcp")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=port, default=8001)
        parser.add_argument(
            "--behind-proxy",
            action="store_true",
            help="ask everybody for a token, also if the proxy leaves no trace of itself",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["http"]:
            with access.everything():
                server().run("stdio")
            return
        host, number = options["host"], options["port"]
        self.stderr.write(f"The MCP server is at http://{host}:{number}/mcp")
        app = http_app(host, behind_proxy=options["behind_proxy"])
        # Who is at the other end is judged by the connection, not by what its headers claim.
        uvicorn.run(app, host=host, port=number, log_level="warning", proxy_headers=False)
