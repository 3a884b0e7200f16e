"""The MCP server: what assistants may ask."""

from __future__ import annotations

from django.conf import settings
from mcp.server import MCPServer
from mcp.types import ToolAnnotations

from ingestion.mcp import syntax, tools

INSTRUCTIONS = (
    "Documentation, tutorials, articles and source code about BBj (BASIS Business BASIC for Java). "
    "Search before you write BBj code, and name the source of what you use. Generations: "
    "character, vpro5, bbj_gui, dwc (the browser), bbj (BBj in general), all."
)
CITING = """Answer questions about BBj from the index, not from memory.

1. Call search_bbj_knowledge with the question in full, and again with names or error numbers alone.
2. Read on with get_document if a passage is not enough: its outline names the page of each section.
3. Say after each statement where it is from: the "Source" line of the passage, as it stands.
4. If nothing in the index answers the question, say so, and do not guess.
5. Prefer passages that are not deprecated, and say which generation of BBj an answer is for."""
READ_ONLY = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)


def server() -> MCPServer:
    """The tools give text alone: a model reads it, and a second form would take its room twice."""
    made = MCPServer(
        "bbjrag", version=settings.VERSION, instructions=INSTRUCTIONS, log_level="WARNING"
    )
    for tool in (tools.search_bbj_knowledge, tools.get_document, tools.list_sources):
        made.tool(annotations=READ_ONLY, structured_output=False)(tool)
    if settings.BBJ_COMPILER:
        made.tool(annotations=READ_ONLY, structured_output=False)(syntax.check_bbj_syntax)
    made.resource(
        "bbjrag://documents/{document_id}",
        name="document",
        description="A document, by the number that a passage gives: its outline and first page.",
        mime_type="text/markdown",
    )(tools.document)
    made.prompt(
        name="cite_bbj_sources",
        description="How to answer questions about BBj from this index, with sources.",
    )(lambda: CITING)
    return made
