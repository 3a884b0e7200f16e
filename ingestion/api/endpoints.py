"""What all views of the HTTP API share: methods, tokens and their rights, errors as JSON."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from pydantic import BaseModel, ValidationError

from ingestion import access
from ingestion.access import Access, Right
from ingestion.api import schemas, tokens
from ingestion.index import statement_timeout
from ingestion.models import ApiToken
from ingestion.monitoring import metrics
from sources.models import Source

logger = logging.getLogger(__name__)

MOST_BYTES = 128 * 1024  # of a request's body; the longest query, all of it escaped, takes 98,304
LARGEST_ID = 2**63 - 1
_BEARER = re.compile(r"Bearer +([\x21-\x7e]{1,200})\s*", re.IGNORECASE)

View = Callable[..., HttpResponse]
Asked = TypeVar("Asked", bound=BaseModel)


class Refused(Exception):
    """A request that gets another answer than it asked for."""

    def __init__(
        self, status: int, message: str, fields: dict[str, list[str]] | None = None, **headers: str
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = schemas.ErrorOut(error=message, fields=fields or {})
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def endpoint(
    *methods: str, right: Right | None = None, token: bool = True
) -> Callable[[View], View]:
    """A view of the API: its methods, the right that its token must have, and its errors as JSON.

    The view sees what its token allows; without a token nothing that needs an access.
    """

    def wrap(view: View) -> View:
        @csrf_exempt  # a token comes with the request, never from a cookie
        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                _check_method(request, methods)
                if token:
                    with access.granted(_access(request, right)):
                        response = view(request, *args, **kwargs)
                else:
                    response = view(request, *args, **kwargs)
            except Refused as refusal:
                response = as_json(refusal.body, refusal.status)
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
        return as_json(schemas.ErrorOut(error="The database does not answer."), 503)
    seconds = settings.WEB_STATEMENT_TIMEOUT
    logger.warning("%s: ended after %g s in the database", request.path, seconds)
    message = f"The database had not answered after {seconds:g} s: ask for less, or later."
    return as_json(schemas.ErrorOut(error=message), 503)


def _check_method(request: HttpRequest, methods: tuple[str, ...]) -> None:
    if request.method not in methods:
        raise Refused(405, f"Use {' or '.join(methods)}.", Allow=", ".join(methods))


def token_of(request: HttpRequest) -> ApiToken | None:
    """The valid token that came with the request."""
    match = _BEARER.fullmatch(request.headers.get("Authorization", ""))
    return tokens.find(match[1]) if match else None


def _access(request: HttpRequest, right: Right | None) -> Access:
    """What the request's token allows, with one more request counted."""
    row = token_of(request)
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
    allowed = access.of_token(row)
    if right and not allowed.may(right):
        raise Refused(403, tokens.MAY_NOT[right])
    return allowed


def as_json(body: BaseModel, status: int = 200) -> HttpResponse:
    return HttpResponse(body.model_dump_json(), content_type="application/json", status=status)


def check_sources(names: Sequence[str]) -> None:
    """Refuse names of sources that do not exist, as far as the token may know."""
    seen = Source.objects.filter(access.current().within("pk"), name__in=names)
    known = set(seen.values_list("name", flat=True)) if names else set[str]()
    if unknown := [name for name in names if name not in known]:
        message = f"There is no source {unknown[0]!r}."
        raise Refused(400, "The request is not valid.", {"sources": [message]})


def parsed(request: HttpRequest, model: type[Asked]) -> Asked:
    """The body of the request."""
    if int(request.headers.get("Content-Length") or 0) > MOST_BYTES:
        raise Refused(413, f"A request takes at most {MOST_BYTES} bytes.")
    return validated(lambda: model.model_validate_json(request.body))


def validated(validate: Callable[[], Asked]) -> Asked:
    """What was asked; if it is not valid, the refusal names each field."""
    try:
        return validate()
    except ValidationError as error:
        fields: dict[str, list[str]] = {}
        for problem in error.errors(include_url=False, include_input=False):
            place = ".".join(map(str, problem["loc"])) or "body"
            fields.setdefault(place, []).append(problem["msg"])
        raise Refused(400, "The request is not valid.", fields) from error
