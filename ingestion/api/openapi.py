"""The OpenAPI description of the HTTP API, made of its schemas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ingestion.api import schemas
from ingestion.search.results import Results

MODELS: tuple[type[BaseModel], ...] = (
    schemas.SearchRequest,
    Results,
    schemas.DocumentOut,
    schemas.StatsOut,
    schemas.ErrorOut,
)
REFUSALS = {
    "400": "The request is not valid; `fields` shows what is wrong in each field.",
    "401": "No valid token was shown.",
    "403": "The token may not do this.",
    "404": "There is no such document.",
    "413": "The request is too large.",
    "429": "The token's limit is reached; Retry-After says for how many seconds.",
    "503": "The database does not answer.",
}


def description(sources: Sequence[str] = ()) -> dict[str, Any]:
    """For an installation with these sources: a search may name no other."""
    _, definitions = models_json_schema(
        [
            (model, "serialization" if model is not schemas.SearchRequest else "validation")
            for model in MODELS
        ],
        ref_template="#/components/schemas/{model}",
    )
    if sources:
        asked = definitions["$defs"]["SearchRequest"]["properties"]["sources"]
        asked["items"] = {"type": "string", "enum": list(sources)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "bbjrag",
            "version": settings.VERSION,
            "summary": "Search the BBj documentation.",
        },
        "paths": _paths(),
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _paths() -> dict[str, Any]:
    body = {"required": True, "content": _content(schemas.SearchRequest)}
    identifier = {
        "name": "id",
        "in": "path",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    }
    found = _operation("search", "Search the index.", Results, "400", "403", "413")
    document = _operation(
        "document", "A document in its chunks.", schemas.DocumentOut, "403", "404"
    )
    stats = _operation("stats", "How much is stored.", schemas.StatsOut)
    return {
        "/api/search": {"post": found | {"requestBody": body}},
        "/api/documents/{id}": {"get": document | {"parameters": [identifier]}},
        "/api/stats": {"get": stats},
    }


def _operation(name: str, summary: str, answer: type[BaseModel], *refusals: str) -> dict[str, Any]:
    codes = sorted([*refusals, "401", "429", "503"])
    refused = {code: _response(REFUSALS[code], schemas.ErrorOut) for code in codes}
    return {
        "operationId": name,
        "summary": summary,
        "security": [{"token": []}],
        "responses": {"200": _response("Done.", answer)} | refused,
    }


def _response(words: str, model: type[BaseModel]) -> dict[str, Any]:
    return {"description": words, "content": _content(model)}


def _content(model: type[BaseModel]) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"application/json": {"schema": reference}}
