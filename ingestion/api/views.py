"""The HTTP API: search, documents and statistics for clients with a token; health for everyone."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_vary_headers
from prometheus_client import CONTENT_TYPE_LATEST

from ingestion import access
from ingestion.api import schemas
from ingestion.api.endpoints import (
    LARGEST_ID,
    Refused,
    as_json,
    check_sources,
    endpoint,
    parsed,
    token_of,
)
from ingestion.api.openapi import description
from ingestion.index import left_out
from ingestion.monitoring import metrics, statistics
from ingestion.monitoring.readiness import readiness
from ingestion.runs import reembedding
from ingestion.search.hybrid import search
from ingestion.search.query_log import query_log
from sources.models import Source


@endpoint("POST", right="search")
def search_view(request: HttpRequest) -> HttpResponse:
    asked = parsed(request, schemas.SearchRequest)
    check_sources(asked.sources)
    with metrics.search_seconds.labels(asked.mode).time():
        results = search(**asked.model_dump())
    token = access.current().token
    filters = asked.model_dump(include={"sources", "generations", "doc_types"})
    query_log.note(results, token.name if token else "", **filters)
    return as_json(results)


@endpoint("GET", right="read")
def document_view(request: HttpRequest, pk: int) -> HttpResponse:
    rows = left_out.searchable().select_related("source")
    document = rows.filter(pk=pk).first() if pk <= LARGEST_ID else None
    if document is None:
        raise Refused(404, "There is no such document (any more).")
    return as_json(schemas.DocumentOut.of(document))


@endpoint("GET")
def stats_view(request: HttpRequest) -> HttpResponse:
    counts = statistics.by_source()
    far = reembedding.progress() if access.current().sources is None else None
    return as_json(
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
            meaning=schemas.MeaningStats(done=far.done, chunks=far.chunks) if far else None,
        )
    )


@endpoint("GET", token=False)
def openapi_view(request: HttpRequest) -> HttpResponse:
    """The names of the sources are for clients with a token that sees them; the rest is for
    everyone."""
    row = token_of(request)
    seen = (
        Source.objects.filter(access.of_token(row).within("pk")) if row else Source.objects.none()
    )
    response = JsonResponse(description(list(seen.values_list("name", flat=True))))
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
    return as_json(body, 503 if found.problems else 200)


@endpoint("GET", token=False)
def metrics_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(metrics.exposed(), content_type=CONTENT_TYPE_LATEST)
