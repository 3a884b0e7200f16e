"""What a token for some sources sees of the others: nothing, wherever it asks."""

from __future__ import annotations

import contextvars
import json
import random
import re
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.error import HTTPError

import anyio
import httpx2
import pytest
from django.db import connection
from django.db.backends.signals import connection_created
from django.db.migrations.executor import MigrationExecutor
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from pytest_django.live_server_helper import LiveServer

from ingestion import access
from ingestion.access import RIGHTS, Access, NoAccess
from ingestion.api import tokens
from ingestion.index import hnsw, left_out, term_statistics
from ingestion.mcp.over_http import http_app
from ingestion.models import (
    ApiToken,
    Chunk,
    Document,
    EmbeddingProfile,
    Failure,
    Run,
    SourceRun,
    State,
)
from ingestion.monitoring import statistics
from ingestion.search import fetching, hybrid, retrievers
from ingestion.search.query_embedding import query_vectors
from ingestion.search.results import MODES
from sources.models import Source
from tests.mcp.test_server import serving
from tests.support.indexed import document, index, pages

pytestmark = pytest.mark.django_db(transaction=True)

# The words of the one source, and those that only the other has.
HARBOUR = (
    "The harbour master opens the lock for a ship. A ledger of pilots lies in the quarterdeck."
)
VAULT = "The quartzite vault holds bullion. A ledger of ingots lies behind the gatehouse."
SECRETS = ("vault", "quartzit", "bullion", "ingot", "gatehous", "treasury")
QUERIES = (
    *("ledger", "How does a ship pass the lock, and who keeps the ledger?", "harbour master"),
    *("quartzite", "quartzyte", "bulion", "bull", "gate house", "gatehouses", "vault ledger"),
    *("VaultWindow.openBullion()", "the of and", "quarterdek", "treasury", "ignot ledgr"),
)


def harbours() -> None:
    first = document("Harbour", HARBOUR, display_url="https://example.com/harbour")
    index(first, *pages(4, "harbour"), into="harbours")


def vaults() -> None:
    both = document("Both", "A ledger of pilots lies in the quarterdeck. Ship, lock, harbour.")
    index(
        document("Vault", VAULT, display_url="https://example.com/vault", doc_type="treasury"),
        document("VaultWindow", "## openBullion\n\nVaultWindow.openBullion() opens the vault."),
        both,
        *pages(8, "vault"),
        into="vaults",
    )


def run_of(*names: str) -> Run:
    run = Run.objects.create(origin="admin")
    for source in Source.objects.filter(name__in=names):
        row = SourceRun.objects.create(
            run=run, source=source, source_name=source.name, state=State.SUCCEEDED
        )
        Failure.objects.create(
            source_run=row, source=source, stage="read", message=f"{source.name} failed"
        )
    return run


def token_for(*names: str) -> str:
    chosen = Source.objects.filter(name__in=names)
    return tokens.make("tests", 100_000, sources=chosen, rights=RIGHTS)[1]


class Asker:
    """A client of the HTTP API with a token."""

    def __init__(self, site: str, token: str) -> None:
        self.site = site
        self.token = token

    def __call__(self, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.site}{path}", data, headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    def everything(self, documents: Sequence[int], runs: Sequence[int]) -> dict[str, Any]:
        """The answers of all endpoints, by what was asked."""
        asked: list[tuple[str, Any]] = [
            ("/api/search", {"query": query, "mode": mode}) for query in QUERIES for mode in MODES
        ]
        asked += [
            ("/api/search", {"query": "vault ledger", **filters})
            for filters in ({"doc_types": ["treasury"]}, {"sources": ["vaults"]}, {"limit": 50})
        ]
        asked += [(f"/api/documents/{pk}", None) for pk in documents]
        asked += [(f"/api/runs/{pk}", None) for pk in runs]
        asked += [(f"/api/runs/{pk}/cancel", {}) for pk in runs]
        asked += [(f"/api/runs/{pk}/removals", {"decision": "approve"}) for pk in runs]
        asked += [("/api/runs", {"sources": ["vaults"]})]
        asked += [(path, None) for path in ("/api/stats", "/api/sources", "/api/openapi.json")]
        return {f"{path} {body}": self(path, body) for path, body in asked}


async def assistant(url: str, token: str, documents: Sequence[int]) -> dict[str, Any]:
    """The answers of all tools and resources, by what was asked."""
    answers: dict[str, Any] = {}
    calls: list[tuple[str, dict[str, Any]]] = [("list_sources", {})]
    calls += [("search_bbj_knowledge", {"query": query, "neighbours": 2}) for query in QUERIES]
    calls += [("search_bbj_knowledge", {"query": "ledger", "source": "vaults"})]
    calls += [("search_bbj_knowledge", {"query": "ledger", "doc_type": "treasury"})]
    addresses = ("docs://Vault", "https://example.com/vault", "docs://Harbour")
    calls += [("get_document", {"url": url}) for url in (*addresses, *map(str, documents))]
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        answers["tools"] = (await client.list_tools()).model_dump_json()
        answers["resources"] = (await client.list_resources()).model_dump_json()
        answers["prompt"] = (await client.get_prompt("cite_bbj_sources")).model_dump_json()
        for name, given in calls:
            answer: Any = await client.call_tool(name, given)
            answers[f"{name} {given}"] = [part.text for part in answer.content]
        for pk in documents:
            answers[f"resource {pk}"] = await _resource(client, pk)
    return answers


async def _resource(client: Any, pk: int) -> str:
    try:
        read = await client.read_resource(f"bbjrag://documents/{pk}")
    except MCPError as error:
        return str(error)
    return str(read.contents[0].text)


@pytest.fixture(scope="module")
def statements() -> Iterator[list[tuple[str, Any]]]:
    """The statements of all threads of this process, with their parameters."""
    said: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        said.append((sql, params))
        return execute(sql, params, many, context)

    def watch(connection: Any, **_: Any) -> None:
        if note not in connection.execute_wrappers:
            connection.execute_wrappers.append(note)

    connection_created.connect(watch)
    yield said
    connection_created.disconnect(watch)


def asked_by(
    live_server: LiveServer, token: str, documents: Sequence[int], runs: Sequence[int]
) -> dict[str, Any]:
    answers = Asker(live_server.url, token).everything(documents, runs)
    with serving(http_app("127.0.0.1", behind_proxy=True)) as url:
        answers |= anyio.run(assistant, url, token, documents)
    for asked, answer in answers.items():
        if asked.startswith("list_sources"):
            answers[asked] = answer[0].partition("\n")[2]  # without the time of day
    return answers


def test_what_others_hold_changes_no_answer(live_server: LiveServer) -> None:
    harbours()
    run_of("harbours")
    token = token_for("harbours")
    documents = [*Document.objects.values_list("pk", flat=True)]
    beyond = range(max(documents) + 1, max(documents) + 12)
    runs = [*Run.objects.values_list("pk", flat=True)]
    later = range(max(runs) + 1, max(runs) + 3)
    before = asked_by(live_server, token, [*documents, *beyond], [*runs, *later])
    vaults()
    run_of("vaults")
    assert {*Document.objects.filter(source__name="vaults").values_list("pk", flat=True)} == {
        *beyond
    }
    after = asked_by(live_server, token, [*documents, *beyond], [*runs, *later])
    for asked, said in before.items():
        assert after[asked] == said, asked


def test_two_tokens_see_each_their_own(
    live_server: LiveServer, statements: list[tuple[str, Any]]
) -> None:
    harbours()
    vaults()
    run_of("harbours", "vaults")
    documents = [*Document.objects.values_list("pk", flat=True)]
    runs = [*Run.objects.values_list("pk", flat=True)]
    for name, other in (("harbours", "vaults"), ("vaults", "harbours")):
        token = token_for(name)
        hidden = {*Document.objects.filter(source__name=other).values_list("pk", flat=True)}
        statements.clear()
        answers = asked_by(live_server, token, documents, runs)
        for asked, answer in answers.items():
            said = json.dumps(answer)
            assert f'"source": "{other}"' not in said, asked
            assert not re.search(rf"[Aa]bout: {other}|{other} failed|- {other}", said), asked
        for pk in hidden:
            assert answers[f"/api/documents/{pk} None"][0] == 404
        check_statements(statements, Source.objects.get(name=name).pk, hidden)


STORED = re.compile(
    r"ingestion_(chunk|document|documenttext|searchterm|sourceterm|failure|sourcerun)\b"
)
FILTERED = re.compile(r'"?source_id"? (= ANY\(%s\)|IN \(%s\))')
# The keys of documents that are left out are only used to leave them out, and the number of all
# chunks chooses between two plans that find the same.
UNFILTERED = (
    "SELECT d.id FROM sources_leftout l",
    "SELECT chunks FROM ingestion_searchterm WHERE term = %s",
)


def check_statements(said: Sequence[tuple[str, Any]], mine: int, hidden: set[int]) -> None:
    """Each statement over what is stored keeps to the source, in each of its parts."""
    touching = [(sql, params) for sql, params in said if STORED.search(sql)]
    assert len(touching) > 100
    for sql, params in touching:
        if sql.startswith(UNFILTERED):
            continue
        flat = [
            value for one in params or () for value in (one if isinstance(one, list) else [one])
        ]
        assert FILTERED.search(sql), sql
        assert mine in flat, sql
        rankings = len(re.findall("FROM ingestion_chunk c", sql))
        assert len(FILTERED.findall(sql)) >= rankings, sql


@pytest.mark.parametrize("query", QUERIES)
def test_no_word_of_others_corrects_or_completes(query: str) -> None:
    harbours()
    vaults()
    mine = Access((Source.objects.get(name="harbours").pk,), frozenset(RIGHTS))
    with access.granted(mine):
        found = hybrid.search(query, mode="text")
    guessed = {meant for others in found.corrected.values() for meant in others}
    assert not {word for word in guessed for secret in SECRETS if word.startswith(secret)}
    assert {hit.source for hit in found.hits} <= {"harbours"}
    with access.everything():
        meant = hybrid.search("quartzyte").corrected
    assert meant == {"quartzyt": ("quartzit",)}


@pytest.mark.parametrize(
    "ask",
    [
        lambda: hybrid.search("ledger"),
        lambda: term_statistics.counts(["ledger"]),
        lambda: term_statistics.corrections(["ledgre"]),
        lambda: term_statistics.completions(["ledg"]),
        lambda: left_out.searchable().first(),
        lambda: statistics.by_source(),
        lambda: statistics.by_profile(),
        lambda: retrievers.profiles_in_use(),
        lambda: retrievers.Filters(),
    ],
)
def test_without_an_access_nothing_is_said(ask: Callable[[], Any]) -> None:
    harbours()
    with pytest.raises(NoAccess):
        contextvars.Context().run(ask)


def test_a_tool_needs_its_right() -> None:
    harbours()
    with serving(http_app("127.0.0.1", behind_proxy=True)) as url:
        for right, tool in (("search", "get_document"), ("read", "search_bbj_knowledge")):
            _, token = tokens.make("tests", 100_000, rights=(right,))  # type: ignore[arg-type]
            number = Document.objects.get(url="docs://Harbour").pk
            answers = anyio.run(assistant, url, token, [number])
            said = [str(answer) for asked, answer in answers.items() if asked.startswith(tool)]
            assert said
            assert all("This token may not" in one for one in said)
            assert ("harbour master" in answers[f"resource {number}"]) == (right == "read")


def test_a_token_for_no_source_sees_nothing() -> None:
    harbours()
    with access.granted(Access((), frozenset(RIGHTS))):
        assert hybrid.search("ledger").hits == ()
        assert statistics.by_source() == []
        assert not left_out.searchable().exists()


def test_terms_follow_what_is_stored_of_a_source() -> None:
    harbours()
    vaults()
    mine = Access((Source.objects.get(name="vaults").pk,), frozenset(RIGHTS))
    row = Document.objects.get(url="docs://Vault")
    with access.granted(mine):
        assert term_statistics.counts(["quartzit", "quarterdeck", "ledger"])[0] == {
            **{"quartzit": 1, "quarterdeck": 1, "ledger": 2}
        }
        out = left_out.leave_out(row, "old", "ada")
        assert term_statistics.counts(["quartzit"])[0] == {}
        left_out.take_back(out)
        assert term_statistics.counts(["quartzit"])[0] == {"quartzit": 1}


TOPICS = 60
COMMON = (
    "window record file control event grid menu string number field program error server button"
    " client screen printer table column order"
)


def varied_pages(number: int, seed: int) -> Iterator[Any]:
    """Pages that share words as real ones do: each about a topic, in words of all."""
    chance = random.Random(seed)
    topics = [
        [f"{chance.choice('bdfgklmprst')}{chance.randrange(10**6):x}" for _ in range(30)]
        for _ in range(TOPICS)
    ]
    common = COMMON.split()
    for place in range(number):
        words = [*chance.choices(topics[place % TOPICS], k=12), *chance.choices(common, k=12)]
        chance.shuffle(words)
        yield document(f"p{seed}-{place}", " ".join(words))


def test_the_nearest_are_found_among_the_sources_of_a_token() -> None:
    sizes = {"few": 300, "some": 1200, "many": 3000}
    for seed, (name, number) in enumerate(sizes.items()):
        profile = index(*varied_pages(number, seed), into=name, count=name == "many")
    hnsw.build(profile)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE ingestion_chunk, ingestion_document")
    queries = [f"window {one.content[:60]}" for one in Chunk.objects.order_by("pk")[::60]]
    for name in sizes:
        seen = Access((Source.objects.get(name=name).pk,), frozenset(RIGHTS))
        with access.granted(seen):
            assert retrievers.Filters().keep_few(0) == (name != "many")
            shares = [recall(profile, query) for query in queries]
        assert sum(shares) / len(shares) >= 0.95, name


def recall(profile: EmbeddingProfile, query: str) -> float:
    """The share of the ten nearest chunks of the token's sources that search ranks among ten."""
    vector = query_vectors.vector(profile, query)
    _, chunks = term_statistics.counts([])
    filters = retrievers.Filters()
    found = nearest(profile, vector, filters, exact=filters.keep_few(chunks))
    return len(found & nearest(profile, vector, filters, exact=True)) / 10


def nearest(profile: EmbeddingProfile, vector: str, filters: Any, *, exact: bool) -> set[int]:
    ranking = retrievers.dense_ranking(0, 1.0, profile, vector, filters, exact=exact)
    with connection.cursor() as cursor:
        sql = f"{fetching.QUERY_SETTINGS}; {ranking.sql} ORDER BY place LIMIT 10"
        cursor.execute(sql, list(ranking.parameters))
        cursor.nextset()
        return {row[0] for row in cursor.fetchall()}


def test_an_upgrade_counts_the_terms_of_each_source_and_keeps_what_tokens_may() -> None:
    harbours()
    row, _ = tokens.make("editor")
    before = MigrationExecutor(connection).loader.graph.leaf_nodes()
    executor = MigrationExecutor(connection)
    executor.migrate([("ingestion", "0017_enrichment")])
    MigrationExecutor(connection).migrate(before)
    found = access.of_token(ApiToken.objects.get(pk=row.pk))
    assert found.sources is None
    assert found.rights == frozenset({"search", "read"})
    mine = Access((Source.objects.get(name="harbours").pk,), frozenset(RIGHTS))
    with access.granted(mine):
        counted = term_statistics.counts(["ledger", "harbour"])
    with access.everything():
        assert counted == term_statistics.counts(["ledger", "harbour"])
