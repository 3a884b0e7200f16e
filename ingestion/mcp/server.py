"""The MCP server: what assistants may ask. Each passage comes with where it is from.

Tools are plain functions, which the library runs in threads of their own; each gives its database
connection back.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated, TypeVar
from urllib.parse import urldefrag, urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection
from django.db.models import Q
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ingestion.api import tokens
from ingestion.models import Document
from ingestion.search import search
from ingestion.search.hybrid import LONGEST_QUERY
from ingestion.search.results import Hit, Results

INSTRUCTIONS = (
    "Documentation, tutorials, articles and source code about BBj (BASIS Business BASIC for Java). "
    "Search before you write BBj code, and name the citation of what you use. Generations: "
    "character, vpro5, bbj_gui, dwc (the browser), bbj (BBj in general), all."
)
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PASSED_ON = {"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"}
READ_ONLY = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
LONGEST_DOCUMENT = 60_000  # characters: what an assistant can take in one piece

Tool = TypeVar("Tool", bound=Callable[..., CallToolResult])


class Passage(BaseModel):
    citation: str = Field(description="Where the passage is: link or address, line or page.")
    title: str
    section: str
    url: str = Field(description="What get_document takes.")
    source: str
    generations: list[str]
    deprecated: bool
    score: float
    text: str


class Passages(BaseModel):
    passages: list[Passage]
    notes: list[str]


class WholeDocument(BaseModel):
    url: str
    citation: str
    title: str
    generations: list[str]
    deprecated: bool
    text: str
    complete: bool


def tool(function: Tool) -> Tool:
    """Close the database connection of the thread that ran the call when the call ends."""

    @functools.wraps(function)
    def with_connection(*args: object, **kwargs: object) -> CallToolResult:
        try:
            return function(*args, **kwargs)
        finally:
            connection.close()

    return with_connection  # type: ignore[return-value]  # same signature, kept by `wraps`


@tool
def search_bbj_knowledge(
    query: Annotated[str, Field(max_length=LONGEST_QUERY, description="Question, name or code.")],
    generation: Annotated[
        str, Field(max_length=40, description="Only this generation, e.g. dwc. Empty: all.")
    ] = "",
    limit: Annotated[int, Field(ge=1, le=20, description="Passages at most.")] = 5,
) -> Annotated[CallToolResult, Passages]:
    """Find passages about BBj by meaning and by words: questions, names, code, error numbers."""
    chosen = [generation.strip()] if generation.strip() else []
    if "\0" in generation:
        raise ToolError("A generation holds no NUL.")
    results = search(query, limit=limit, generations=chosen)
    passages = Passages(passages=[_passage(hit) for hit in results.hits], notes=[*results.notes])
    return _answer(_as_text(results, passages), passages)


@tool
def get_document(
    url: Annotated[str, Field(max_length=2000, description="The url or citation of a passage.")],
) -> Annotated[CallToolResult, WholeDocument]:
    """Read a whole document that search_bbj_knowledge found a passage of."""
    document = _document(url.strip().replace("\0", ""))
    if document is None:
        raise ToolError(f"There is no document {url!r}. Search first, and pass on a result's url.")
    text = "\n\n".join(document.chunks.order_by("ordinal").values_list("content", flat=True))
    whole = WholeDocument(
        url=document.url,
        citation=document.display_url or document.url,
        title=document.title,
        generations=document.generations,
        deprecated=document.deprecated,
        text=text[:LONGEST_DOCUMENT],
        complete=len(text) <= LONGEST_DOCUMENT,
    )
    cut = "" if whole.complete else "\n\n(The document goes on; search for what you need of it.)"
    return _answer(f"# {whole.title}\nSource: {whole.citation}\n\n{whole.text}{cut}", whole)


def _document(url: str) -> Document | None:
    """By its address or the link people follow; a fragment or query that is not its own is
    skipped."""
    bare = urldefrag(url).url
    for wanted in dict.fromkeys((url, bare, bare.partition("?")[0])):
        found = Document.objects.filter(Q(url=wanted) | Q(display_url=wanted)).order_by("pk")
        if document := found.first():
            return document
    return None


def _passage(hit: Hit) -> Passage:
    return Passage(
        citation=hit.link,
        title=hit.title,
        section=hit.context_header,
        url=hit.url,
        source=hit.source,
        generations=list(hit.generations),
        deprecated=hit.deprecated,
        score=round(hit.score, 5),
        text=hit.content,
    )


def _as_text(results: Results, found: Passages) -> str:
    parts = [
        f"[{number}] {passage.title}\n{passage.section}\nSource: {passage.citation}\n"
        f"Address: {passage.url}\n"
        + ("Deprecated.\n" if passage.deprecated else "")
        + f"\n{passage.text}"
        for number, passage in enumerate(found.passages, 1)
    ]
    return "\n\n---\n\n".join([*parts, *results.notes]) or "Nothing was found."


def _answer(text: str, structured: BaseModel) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content=structured.model_dump(mode="json"),
    )


def server() -> MCPServer:
    made = MCPServer(
        "bbjrag", version=settings.VERSION, instructions=INSTRUCTIONS, log_level="WARNING"
    )
    made.tool(annotations=READ_ONLY)(search_bbj_knowledge)
    made.tool(annotations=READ_ONLY)(get_document)
    return made


def http_app(host: str, *, behind_proxy: bool = False) -> ASGIApp:
    """The server as an ASGI application at /mcp, without sessions: any process can answer.

    A token of the HTTP API is asked for, and counted against its limit, unless the server listens
    on the loopback and is reached there directly (see `is_direct`). With `behind_proxy` everybody
    is asked: some proxies leave no trace.
    """
    allowed = [*LOOPBACK, host, *settings.ALLOWED_HOSTS]
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection="*" not in settings.ALLOWED_HOSTS,
        allowed_hosts=[name for host in allowed for name in (host, f"{host}:*")],
        allowed_origins=[
            f"{scheme}://{name}"
            for scheme in ("http", "https")
            for host in allowed
            for name in (host, f"{host}:*")
        ],
    )
    app = server().streamable_http_app(
        host=host, stateless_http=True, json_response=True, transport_security=security
    )
    return WithToken(app, trusts_direct=host in LOOPBACK and not behind_proxy)


class WithToken:
    """Lets requests pass that show a token of the HTTP API, or are direct and trusted for that."""

    def __init__(self, app: ASGIApp, *, trusts_direct: bool) -> None:
        self.app = app
        self.trusts_direct = trusts_direct

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not (self.trusts_direct and is_direct(scope)):
            refused = await sync_to_async(_refusal)(Headers(scope=scope).get("authorization", ""))
            if refused:
                await refused(scope, receive, send)
                return
        await self.app(scope, receive, send)


def is_direct(scope: Scope) -> bool:
    """Whether a program on this machine asks by itself: from the loopback, by the loopback's name,
    and without what a proxy adds. (nginx speaks HTTP/1.0 to what is behind it, unless told not to.)
    """
    headers = Headers(scope=scope)
    passed_on = any(name in PASSED_ON or name.startswith("x-forwarded") for name in headers)
    return (
        _is_loopback((scope.get("client") or ("", 0))[0])
        and all(urlsplit(f"//{name}").hostname in LOOPBACK for name in headers.getlist("host"))
        and scope["http_version"] != "1.0"
        and not passed_on
    )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _refusal(authorization: str) -> JSONResponse | None:
    try:
        return _judged(authorization)
    finally:
        connection.close()


def _judged(authorization: str) -> JSONResponse | None:
    scheme, _, token = authorization.partition(" ")
    row = tokens.find(token.strip()) if scheme.casefold() == "bearer" else None
    if row is None:
        message = {"error": "Send a valid token: `Authorization: Bearer bbjrag_...`."}
        return JSONResponse(message, 401, {"WWW-Authenticate": "Bearer"})
    use = tokens.use(row)
    if use.allowed:
        return None
    message = {"error": f"This token may ask {row.requests_per_minute} times a minute."}
    return JSONResponse(message, 429, {"Retry-After": str(use.retry_after)})
