"""What the web does about statements that take the database too long: it ends them, and says so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from ingestion.index import statement_timeout

logger = logging.getLogger(__name__)


def limit(database: dict[str, Any], seconds: float) -> None:
    """Have each connection that this process opens from now on end longer statements.

    The server is asked at the connection's start, so that the connections of other processes with
    the same account are as they were.
    """
    if not seconds:
        return
    options = database.setdefault("OPTIONS", {})
    given = options.get("options", "")
    options["options"] = f"{given} -c statement_timeout={round(seconds * 1000)}".strip()


class SlowStatements:
    """Middleware: answers with a page if a statement was ended because it took too long."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not statement_timeout.ended(error):
            return None
        seconds = settings.WEB_STATEMENT_TIMEOUT
        logger.warning("%s: ended after %g s in the database", request.path, seconds)
        context = {"title": "This took the database too long", "seconds": seconds}
        return render(request, "admin/too_slow.html", context, status=503)
