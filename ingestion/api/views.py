"""The HTTP API: search, documents and statistics for clients with a token; health for everyone."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ValidationError

from ingestion.api import schemas, tokens
from ingestion.api.openapi import description
from ingestion.index import left_out, statement_timeout
from ingestion.models import ApiToken
from ingestion.monitoring import metrics, statistics
from ingestion.monitoring.readiness import readiness
from ingestion.search import search
from ingestion.search.query_log import query_log
from sources.models import Source

logger = logging.getLogger(__name__)

MOST_BYTES = 128 * 1024  # of a request's body; the longest query, all of it escaped, takes 98,304
LARGEST_ID = 2**63 - 1
_BEARER = re.compile(r"Bearer +([\x21-\x7e]{1,200})\s*", re.IGNORECASE)

View = Callable[..., HttpResponse]


class Refused(Exception):
    """A request that gets another answer than it asked for."""

    def __init__(
        self, status: int, message: str, fields: dict[str, list[str]] | None = None, **headers: str
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = schemas.ErrorOut(error=message, fields=fields or {})
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def endpoint(*methods: str, token: bool = True) -> Callable[[View], View]:
    """A view of the API: its methods, its token, and its errors as JSON."""

    def wrap(view: View) -> View:
        @csrf_exempt  # a token comes with the request, never from a cookie
        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                _check_method(request, methods)
                if token:
                    _check_token(request)
                response = view(request, *args, **kwargs)
            except Refused as refusal:
                response = _json(refusal.body, refusal.status)
                for name, value in refusal.headers.items():
                    response[name] = value
            except DatabaseError as error:
                response = _unanswered(request, error)
            metrics.api_responses.labels(view.__name__, response.status_code).inc()
            return response

        return guarded

    return wrap


def _unanswered(request: HttpRequest, error: DatabaseError) -> HttpResponse:
    if not statement_timeout.ended(error):
        logger.exception("%s could not ask the database", request.path)
        return _json(schemas.ErrorOut(error="The database does not answer."), 503)
    seconds = settings.WEB_STATEMENT_TIMEOUT
    logger.warning("%s: ended after %g s in the database", request.path, seconds)
    message = f"The database had not answered after {seconds:g} s: ask for less, or later."
    return _json(schemas.ErrorOut(error=message), 503)


def _check_method(request: HttpRequest, methods: tuple[str, ...]) -> None:
    if request.method not in methods:
        raise Refused(405, f"Use {' or '.join(methods)}.", Allow=", ".join(methods))


def _token(request: HttpRequest) -> ApiToken | None:
    match = _BEARER.fullmatch(request.headers.get("Authorization", ""))
    return tokens.find(match[1]) if match else None


def _check_token(request: HttpRequest) -> None:
    row = _token(request)
    if row is None:
        raise Refused(
            401,
            "Send a valid token: `Authorization: Bearer bbjrag_...`. Tokens are made in the admin.",
            WWW_Authenticate="Bearer",
        )
    use = tokens.use(row)
    if not use.allowed:
        raise Refused(
            429,
            f"This token may ask {row.requests_per_minute} times a minute.",
            Retry_After=str(use.retry_after),
        )
    cast(Any, request).token_name = row.name  # for the log of queries


def _json(body: BaseModel, status: int = 200) -> HttpResponse:
    return HttpResponse(body.model_dump_json(), content_type="application/json", status=status)


@endpoint("POST")
def search_view(request: HttpRequest) -> HttpResponse:
    asked = _parsed(request)
    known = set(Source.objects.values_list("name", flat=True)) if asked.sources else set[str]()
    if unknown := [name for name in asked.sources if name not in known]:
        message = f"There is no source {unknown[0]!r}."
        raise Refused(400, "The request is not valid.", {"sources": [message]})
    with metrics.search_seconds.labels(asked.mode).time():
        results = search(**asked.model_dump())
    filters = asked.model_dump(include={"sources", "generations", "doc_types"})
    query_log.note(results, cast(Any, request).token_name, **filters)
    return _json(results)


def _parsed(request: HttpRequest) -> schemas.SearchRequest:
    if int(request.headers.get("Content-Length") or 0) > MOST_BYTES:
        raise Refused(413, f"A request takes at most {MOST_BYTES} bytes.")
    try:
        return schemas.SearchRequest.model_validate_json(request.body)
    except ValidationError as error:
        fields: dict[str, list[str]] = {}
        for problem in error.errors(include_url=False, include_input=False):
            place = ".".join(map(str, problem["loc"])) or "body"
            fields.setdefault(place, []).append(problem["msg"])
        raise Refused(400, "The request is not valid.", fields) from error


@endpoint("GET")
def document_view(request: HttpRequest, pk: int) -> HttpResponse:
    rows = left_out.searchable().select_related("source")
    document = rows.filter(pk=pk).first() if pk <= LARGEST_ID else None
    if document is None:
        raise Refused(404, "There is no such document (any more).")
    return _json(schemas.DocumentOut.of(document))


@endpoint("GET")
def stats_view(request: HttpRequest) -> HttpResponse:
    counts = statistics.by_source()
    return _json(
        schemas.StatsOut(
            documents=sum(count.documents for count in counts),
            chunks=sum(count.chunks for count in counts),
            sources=[
                schemas.SourceStats(
                    source=count.name,
                    title=count.title,
                    documents=count.documents,
                    chunks=count.chunks,
                    last_success=count.last_success.isoformat() if count.last_success else None,
                )
                for count in counts
            ],
            profiles=[
                schemas.ProfileStats(
                    provider=profile.provider,
                    model=profile.model,
                    dimensions=profile.dimensions,
                    chunks=number,
                )
                for profile, number in statistics.by_profile()
            ],
        )
    )


@endpoint("GET", token=False)
def openapi_view(request: HttpRequest) -> HttpResponse:
    """The names of the sources are for clients with a token; the rest is for everyone."""
    names = Source.objects.values_list("name", flat=True) if _token(request) else ()
    response = JsonResponse(description(list(names)))
    patch_vary_headers(response, ["Authorization"])
    return response


@endpoint("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", token=False)
def missing_view(request: HttpRequest) -> HttpResponse:
    """Whatever else is asked for below /api/ is refused as the API refuses."""
    raise Refused(404, "There is nothing at this address.")


@endpoint("GET", "HEAD", token=False)
def health_view(request: HttpRequest) -> HttpResponse:
    """This process answers; nothing more is asked."""
    return JsonResponse({"healthy": True})


@endpoint("GET", "HEAD", token=False)
def ready_view(request: HttpRequest) -> HttpResponse:
    found = readiness.answer()
    body = schemas.ReadyOut(ready=not found.problems, problems=found.problems, age=found.age)
    return _json(body, 503 if found.problems else 200)


@endpoint("GET", token=False)
def metrics_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(metrics.exposed(), content_type=CONTENT_TYPE_LATEST)
