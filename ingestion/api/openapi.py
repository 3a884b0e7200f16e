"""The OpenAPI description of the HTTP API, made of its schemas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ingestion.api import run_schemas, schemas
from ingestion.search.results import Results

MODELS: tuple[type[BaseModel], ...] = (
    schemas.SearchRequest,
    Results,
    schemas.DocumentOut,
    schemas.StatsOut,
    run_schemas.RunRequest,
    run_schemas.Decision,
    run_schemas.StartedOut,
    run_schemas.RunOut,
    run_schemas.SourcesOut,
    schemas.ErrorOut,
)
ASKED: tuple[type[BaseModel], ...] = (
    schemas.SearchRequest,
    run_schemas.RunRequest,
    run_schemas.Decision,
)
REFUSALS = {
    "400": "The request is not valid; `fields` shows what is wrong in each field.",
    "401": "No valid token was shown.",
    "403": "The token may not do this.",
    "404": "There is no such document or run.",
    "409": "It cannot be done in the state that things are in; `error` says why.",
    "413": "The request is too large.",
    "429": "The token's limit is reached; Retry-After says for how many seconds.",
    "503": "The database does not answer.",
}


def description(sources: Sequence[str] = ()) -> dict[str, Any]:
    """For an installation with these sources: a search may name no other."""
    _, definitions = models_json_schema(
        [(model, "validation" if model in ASKED else "serialization") for model in MODELS],
        ref_template="#/components/schemas/{model}",
    )
    if sources:
        for model in ASKED:
            asked = definitions["$defs"][model.__name__]["properties"]["sources"]
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
        "/api/search": {"post": found | _body(schemas.SearchRequest)},
        "/api/documents/{id}": {"get": document | {"parameters": [identifier]}},
        "/api/stats": {"get": stats},
        **_run_paths(identifier),
    }


def _run_paths(identifier: dict[str, Any]) -> dict[str, Any]:
    sources = _operation("sources", "What each source holds.", run_schemas.SourcesOut)
    refused = ("400", "403", "409", "413")
    start = _operation("start", "Start a run.", run_schemas.StartedOut, *refused)
    start["responses"] |= {"201": _response("Started.", run_schemas.StartedOut)}
    follow = _operation("run", "Follow a run.", run_schemas.RunOut, "400", "403", "404")
    cancel = _operation("cancel", "Cancel a run.", run_schemas.RunOut, "403", "404", "409")
    answers = (run_schemas.RunOut, *refused, "404")
    decide = _operation("removals", "Approve or refuse removals.", *answers)
    there = {"parameters": [identifier]}
    return {
        "/api/sources": {"get": sources},
        "/api/runs": {"post": start | _body(run_schemas.RunRequest) | {"parameters": [_key()]}},
        "/api/runs/{id}": {"get": follow | {"parameters": [identifier, *_follow()]}},
        "/api/runs/{id}/cancel": {"post": cancel | there},
        "/api/runs/{id}/removals": {"post": decide | _body(run_schemas.Decision) | there},
    }


def _key() -> dict[str, Any]:
    words = "The same key gets the same answer again, and starts nothing."
    schema = {"type": "string", "maxLength": run_schemas.LONGEST_KEY}
    return {"name": "Idempotency-Key", "in": "header", "description": words, "schema": schema}


def _follow() -> list[dict[str, Any]]:
    fields = run_schemas.Follow.model_json_schema()["properties"]
    return [{"name": name, "in": "query", "schema": schema} for name, schema in fields.items()]


def _body(model: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": _content(model)}}


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
