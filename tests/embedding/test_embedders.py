"""Embedders: what each promises, wordllama for real, Ollama against a loopback server and, where
OLLAMA_HOST names one that answers, against a real one."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from ingestion.embedding.base import Embedder, EmbedderSettings, Vectors
from ingestion.embedding.checks import BadVectors, checked
from ingestion.embedding.host import parse_host
from ingestion.embedding.ollama import OllamaEmbedder
from ingestion.embedding.ollama_host import OllamaHost
from ingestion.embedding.prefixes import INSTRUCTION, SENTENCE, prefixes_of
from ingestion.embedding.registry import EMBEDDERS, embed_each, open_embedder
from ingestion.embedding.wordllama import CONTEXT, WEIGHTS
from ingestion.embedding.wordpiece import TokenBound, word_piece_count
from ingestion.exceptions import (
    ConfigError,
    EmbedderError,
    TextRejected,
    TextTooLong,
)
from tests.support.ollama_server import DIGEST, OllamaServer
from tests.support.openai_server import NAME, OpenAIServer

TEXTS = ["PRINT writes to a channel.", "OPEN opens a channel.", "rem Größe: ½ “q” 漢字"]


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        yield server


def ollama(*servers: OllamaServer, model: str = "all-minilm", **settings: object) -> OllamaEmbedder:
    hosts = tuple(server.host for server in servers)
    chosen = EmbedderSettings("ollama", model, hosts, timeout=5.0, **settings)  # type: ignore[arg-type]
    embedder = open_embedder(chosen)
    assert isinstance(embedder, OllamaEmbedder)
    for server in servers:
        server.calls.clear()
        server.embedded.clear()
        server.bodies.clear()
    return embedder


@pytest.fixture
def wordllama() -> Embedder:
    return open_embedder(EmbedderSettings("wordllama"))


# wordllama


def test_wordllama_works(wordllama: Embedder) -> None:
    vectors = wordllama.embed(TEXTS)
    assert vectors.shape == (3, wordllama.dimensions) == (3, 256)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_wordllama_finds_what_is_near(wordllama: Embedder) -> None:
    query = wordllama.embed_query("how to open a channel")
    assert query.shape == (256,)
    assert int(np.argmax(wordllama.embed(TEXTS) @ query)) == 1


def test_wordllama_gives_what_the_library_gives(wordllama: Embedder) -> None:
    program = (
        "import sys, wordllama, pathlib\n"
        "folder = pathlib.Path(wordllama.__file__).parent\n"
        "model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)\n"
        "vectors = model.embed(sys.argv[1:], norm=True)\n"
        "sys.stdout.buffer.write(vectors.astype('float32').tobytes())\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, *TEXTS], capture_output=True, check=True)
    theirs = np.frombuffer(ran.stdout, dtype=np.float32).reshape(3, 256)
    assert wordllama.embed(TEXTS) == pytest.approx(theirs, abs=1e-6)


def test_wordllama_gives_a_text_the_same_vector_in_any_company(wordllama: Embedder) -> None:
    alone = wordllama.embed([TEXTS[0]])[0]
    among = wordllama.embed([TEXTS[2], "long " * 3000, TEXTS[0]])[2]
    assert np.array_equal(alone, among)


def test_wordllama_reads_marks_in_a_text_as_the_characters_they_are(wordllama: Embedder) -> None:
    marked, plain = wordllama.embed(["<s>struck</s>", "struck"])
    assert not np.allclose(marked, plain)


def test_wordllama_is_known_by_its_weights(wordllama: Embedder) -> None:
    spec = find_spec("wordllama")
    assert spec is not None
    assert spec.origin is not None
    weights = Path(spec.origin).parent / WEIGHTS
    assert wordllama.digest == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_wordllama_refuses_another_model() -> None:
    with pytest.raises(EmbedderError, match=r"no model 'all-minilm'.*ollama"):
        open_embedder(EmbedderSettings("wordllama", "all-minilm"))


def test_wordllama_refuses_a_text_above_its_context(wordllama: Embedder) -> None:
    with pytest.raises(TextTooLong, match=str(CONTEXT)):
        wordllama.embed(["fine", "word " * (CONTEXT + 1)])


def test_opening_wordllama_leaves_the_root_logger_and_the_library_alone() -> None:
    program = (
        "import logging, sys\n"
        "from ingestion.embedding.registry import EmbedderSettings, open_embedder\n"
        "assert 'tokenizers' not in sys.modules and 'ollama' not in sys.modules\n"
        "open_embedder(EmbedderSettings()).embed(['x'])\n"
        "assert not logging.getLogger().handlers and 'wordllama' not in sys.modules\n"
        "assert 'ollama' not in sys.modules and 'django' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# every embedder


@pytest.fixture(params=sorted(EMBEDDERS))
def embedder(request: pytest.FixtureRequest) -> Iterator[Embedder]:
    provider = str(request.param)
    model, kind = MODELS[provider]
    with kind() as server:
        yield open_embedder(EmbedderSettings(provider, model, (server.host,)))


MODELS: dict[str, tuple[str, type[OllamaServer]]] = {
    "wordllama": ("", OllamaServer),
    "minilm": ("", OllamaServer),
    "ollama": ("all-minilm", OllamaServer),
    "openai": (NAME, OpenAIServer),
}


def test_every_embedder_tells_what_the_pipeline_asks(embedder: Embedder) -> None:
    for name in Embedder.__annotations__:
        assert getattr(embedder, name) is not None
    assert embedder.digest or embedder.provider == "openai"
    assert 0 < embedder.chunk_limit <= embedder.context
    assert embedder.batch_size > 0
    assert embedder.concurrency > 0
    (lane,) = embedder.lanes()
    assert lane.pace.load == (embedder.batch_size, embedder.concurrency)
    assert np.array_equal(lane.embed(TEXTS), embedder.embed(TEXTS))


def test_every_embedder_normalises_and_repeats_itself(embedder: Embedder) -> None:
    first, second = embedder.embed(TEXTS), embedder.embed(TEXTS[::-1])[::-1]
    assert np.linalg.norm(first, axis=1) == pytest.approx(1, abs=1e-5)
    assert first == pytest.approx(second, abs=1e-6)
    assert first.dtype == embedder.embed_query("x").dtype == np.float32


@pytest.mark.parametrize("text", ["", " \n\t", "half \ud83d"])
def test_every_embedder_refuses_a_text_without_meaning(embedder: Embedder, text: str) -> None:
    with pytest.raises(TextRejected):
        embedder.embed(["fine", text])
    with pytest.raises(TextRejected):
        embedder.embed_query(text)


def test_an_unknown_provider_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'cohere'.*wordllama, minilm, ollama, openai"):
        open_embedder(EmbedderSettings("cohere"))


# embed_each


class Picky:
    """Refuses texts that begin with a bang; counts its calls."""

    dimensions = 2
    calls = 0

    def embed(self, texts: list[str]) -> Vectors:
        self.calls += 1
        bad = [text for text in texts if text.startswith("!")]
        if bad:
            raise TextRejected(f"refused among {len(texts)}")
        return np.array([[float(text), 1.0] for text in texts], dtype=np.float32)


def test_embed_each_keeps_the_order_and_names_the_texts_at_fault() -> None:
    texts = ["0", "1", "!", "3", "4", "5", "!", "7"]
    vectors, rejected = embed_each(Picky(), texts)  # type: ignore[arg-type]
    assert sorted(rejected) == [2, 6]
    assert str(rejected[2]) == "refused among 1"
    assert [row[0] for row in vectors.tolist() if row[1] == 1] == [0, 1, 3, 4, 5, 7]
    assert np.isnan(vectors[[2, 6]]).all()


def test_embed_each_finds_one_in_many_by_halving() -> None:
    embedder = Picky()
    _, rejected = embed_each(embedder, ["1"] * 300 + ["!"] + ["1"] * 199)  # type: ignore[arg-type]
    assert list(rejected) == [300]
    assert embedder.calls <= 19


def test_embed_each_of_nothing_asks_nothing() -> None:
    embedder = Picky()
    vectors, rejected = embed_each(embedder, [])  # type: ignore[arg-type]
    assert (vectors.shape, rejected, embedder.calls) == ((0, 2), {}, 0)


# what is stored


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([[1.0, 0.0]], "1 vectors for 2 texts"),
        ([[1.0, 0.0]] * 3, "3 vectors for 2 texts"),
        ([[1.0, 0.0], [1.0]], "length 1, 2"),
        ([[1.0], [1.0]], "length 1 instead of 2"),
        ([[], []], "length 0"),
        ([[1.0, float("nan")], [1.0, 0.0]], "NaN"),
        ([[1.0, float("inf")], [1.0, 0.0]], "infinity"),
        ([[0.0, 0.0], [1.0, 0.0]], "zeros"),
    ],
)
def test_what_is_no_vector_is_never_stored(rows: list[list[float]], problem: str) -> None:
    with pytest.raises(BadVectors, match=problem):
        checked(rows, 2, 2)


def test_vectors_are_made_one_long_even_when_huge() -> None:
    assert checked([[3e30, 4e30]], 1).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]


# prefixes


@pytest.mark.parametrize(
    ("model", "document", "query"),
    [
        ("qwen3-embedding:0.6b", "", INSTRUCTION),
        ("hf.co/Qwen/Qwen3-Embedding-0.6B-GGUF:Q8_0", "", INSTRUCTION),
        ("embeddinggemma", "title: none | text: ", "task: search result | query: "),
        ("nomic-embed-text:v1.5", "search_document: ", "search_query: "),
        ("mxbai-embed-large", "", SENTENCE),
        ("snowflake-arctic-embed:110m", "", SENTENCE),
        ("snowflake-arctic-embed2:latest", "", "query: "),
        ("hf.co/Snowflake/snowflake-arctic-embed-l-v2.0-gguf", "", "query: "),
        ("bge-large", "", SENTENCE),
        ("bge-m3", "", ""),
        ("jeffh/intfloat-multilingual-e5-large-instruct:q8_0", "", INSTRUCTION),
        ("jeffh/intfloat-multilingual-e5-large", "passage: ", "query: "),
        ("all-minilm", "", ""),
        ("granite-embedding:278m", "", ""),
    ],
)
def test_a_models_prefixes_are_its_own(model: str, document: str, query: str) -> None:
    assert prefixes_of(model) == (document, query)


def test_prefixes_go_before_documents_and_queries(server: OllamaServer) -> None:
    server.models = {"nomic-embed-text:latest": DIGEST}
    embedder = ollama(server, model="nomic-embed-text")
    embedder.embed(["a", "b"])
    embedder.embed_query("c")
    assert server.calls == [["search_document: a", "search_document: b"], ["search_query: c"]]


def test_prefixes_that_are_set_win_over_the_models(server: OllamaServer) -> None:
    server.models = {"nomic-embed-text:latest": DIGEST}
    embedder = ollama(server, model="nomic-embed-text", document_prefix="", query_prefix="Q: ")
    assert (embedder.document_prefix, embedder.query_prefix) == ("", "Q: ")


# hosts


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        (" '10.0.0.2' ", "http://10.0.0.2:11434"),
        ("127.0.0.1:11500", "http://127.0.0.1:11500"),
        (":11500", "http://127.0.0.1:11500"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("http://0.0.0.0:80/", "http://127.0.0.1:80"),
        ("[::]:11434", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("http://gpu.example", "http://gpu.example:80"),
        ("https://gpu.example", "https://gpu.example:443"),
        ("HTTPS://gpu.example:8443/ollama/", "https://gpu.example:8443/ollama"),
        ("http://user:p%40ss@gpu.example:1", "http://gpu.example:1"),
        ("user:secret@gpu.example", "http://gpu.example:11434"),
    ],
)
def test_a_host_is_read_as_ollama_reads_it(value: str, url: str) -> None:
    assert parse_host(value).url == url


def test_credentials_are_taken_apart_from_what_is_shown() -> None:
    assert parse_host("http://user:p%40ss@gpu.example").auth == ("user", "p@ss")


@pytest.mark.parametrize(
    "value", ["ftp://user:secret@host", "http://user:secret@host:port", "http://u:secret@[::1"]
)
def test_a_host_that_is_none_is_refused_without_showing_credentials(value: str) -> None:
    with pytest.raises(ConfigError, match="OLLAMA_HOST") as refused:
        parse_host(value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://me:secret@127.0.0.1:1"),
        ("HTTPS_PROXY", "gopher://me:secret@127.0.0.1:1"),
        ("NO_PROXY", "[::1"),
        ("SSL_CERT_FILE", "/nowhere/secret.pem"),
        ("OLLAMA_API_KEY", "sécret"),
    ],
)
def test_an_environment_in_which_a_host_cannot_be_asked_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=rf"https://gpu.invalid:443 cannot .*{name}") as refused:
        OllamaHost(parse_host("https://gpu.invalid"), 1.0)
    assert "ecret" not in str(refused.value)


# Ollama: the preflight


def test_ollama_works(server: OllamaServer) -> None:
    embedder = ollama(server)
    vectors = embedder.embed(TEXTS)
    expected = np.array([server.vector(text) for text in TEXTS])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert vectors == pytest.approx(expected, abs=1e-6)
    assert (embedder.digest, embedder.dimensions) == (DIGEST, 16)


@pytest.mark.parametrize(
    ("context_length", "num_ctx", "set_to", "asked"),
    [
        (512, 256, 0, 256),  # the model's own parameter
        (512, None, 0, 512),  # what it was trained with
        (2048, 8192, 0, 2048),  # a parameter above what it was trained with
        (32768, None, 0, 2048),  # more than servers read of one text
        (32768, None, 4096, 4096),  # what the operator wants
    ],
)
def test_the_context_is_learned_and_sent(
    context_length: int, num_ctx: int | None, set_to: int, asked: int
) -> None:
    with OllamaServer(context_length=context_length, num_ctx=num_ctx) as server:
        embedder = ollama(server, context=set_to)
        embedder.embed(["x"])
    assert embedder.context == asked - 2
    assert embedder.chunk_limit == int((asked - 2) / 1.5)
    assert server.bodies[-1]["options"] == {"num_ctx": asked, "num_batch": asked}


@pytest.mark.parametrize("counts", [lambda text: len(text.split()), lambda text: 0])
def test_how_a_process_counts_tokens_does_not_change_the_size_of_chunks(
    counts: Callable[[str], int],
) -> None:
    """A server may not say at the first request how many tokens it read; with another size, the
    next process would re-make every document."""
    info = {"tokenizer.ggml.model": "bert", "tokenizer.ggml.unknown_token_id": 0}
    words = ["[UNK]", *(f"\u2581{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789")]
    with OllamaServer(context_length=256, model_info=info, vocabulary=words) as server:
        server.count_tokens = counts
        embedder = ollama(server)
    assert embedder.chunk_limit == 254


def test_each_request_says_the_same_so_that_the_model_stays_loaded(server: OllamaServer) -> None:
    embedder = ollama(server)
    embedder.embed(["x"])
    embedder.embed_query("y")
    same = [{k: v for k, v in body.items() if k != "input"} for body in server.bodies]
    assert same[0] == same[1]
    assert same[0]["truncate"] is False
    assert same[0]["keep_alive"] == 1800


def test_a_context_above_the_models_is_refused(server: OllamaServer) -> None:
    with pytest.raises(EmbedderError, match=r"4096.*has 2048"):
        ollama(server, context=4096)


def test_a_large_context_that_the_server_does_not_hold_is_refused() -> None:
    with OllamaServer(context_length=32768) as server:
        server.count_tokens = lambda text: min(2048, len(text.split()))
        with pytest.raises(EmbedderError, match="read 2048 tokens"):
            ollama(server, context=8192)


def test_more_dimensions_than_can_be_indexed_are_refused() -> None:
    with OllamaServer(dimensions=4001) as server, pytest.raises(EmbedderError, match="4000"):
        ollama(server)


def test_a_model_that_is_not_there_says_how_to_get_it(server: OllamaServer) -> None:
    with pytest.raises(EmbedderError, match=rf"ollama pull nope.*{server.host}") as missing:
        ollama(server, model="nope")
    assert not isinstance(missing.value, TextRejected)


def test_a_models_name_means_its_latest(server: OllamaServer) -> None:
    embedder = ollama(server, model="All-MiniLM:latest")
    assert (embedder.model, embedder.digest) == ("all-minilm", DIGEST)
    assert len(embedder.embed(["x"])) == 1


def test_a_model_must_be_on_each_host(server: OllamaServer) -> None:
    with OllamaServer(models={}) as empty, pytest.raises(EmbedderError, match="not on") as missing:
        ollama(server, empty)
    assert empty.host in str(missing.value)


def test_a_model_must_be_the_same_on_each_host(server: OllamaServer) -> None:
    other = OllamaServer(models={"all-minilm:latest": "0" * 64})
    with other, pytest.raises(EmbedderError, match="not the same everywhere"):
        ollama(server, other)


def test_requests_go_round_the_hosts(server: OllamaServer) -> None:
    with OllamaServer() as second:
        embedder = ollama(server, second, concurrency=3)
        for number in range(6):
            embedder.embed([f"text {number}"])
    assert (len(server.calls), len(second.calls)) == (3, 3)
    assert embedder.concurrency == 6


def test_requests_run_at_once(server: OllamaServer) -> None:
    embedder = ollama(server, concurrency=4)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: embedder.embed([f"text {n}"])[0], range(40)))
    assert len({row.tobytes() for row in found}) == 40
    assert sum(server.embedded.values()) == 40


# Ollama: no text above the context


def test_a_text_that_may_be_too_long_goes_alone_and_is_counted_by_the_server() -> None:
    with OllamaServer(num_ctx=64) as server:
        embedder = ollama(server)
        long = " ".join(["documentation"] * 40)
        vectors = embedder.embed(["short", long, "brief"])
    assert server.calls == [[long], ["short", "brief"]]
    assert len(vectors) == 3
    assert not np.allclose(vectors[1], vectors[0])


@pytest.mark.parametrize("words", [63, 64, 65, 5000])
def test_a_text_above_the_context_is_refused_not_cut_off(words: int) -> None:
    with OllamaServer(num_ctx=64) as server, pytest.raises(TextTooLong, match="CHUNK_SIZE"):
        ollama(server).embed(["word " * words])


def test_a_long_text_that_the_server_does_not_count_is_refused() -> None:
    with OllamaServer(num_ctx=64) as server:
        embedder = ollama(server)
        server.count_tokens = lambda text: 0
        with pytest.raises(TextTooLong):
            embedder.embed(["word " * 30])


VOCABULARY = [
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "▁open",
    "▁the",
    "▁channel",
    "s",
    "▁(",
    "▁)",
    "▁un",
    "able",
]


def test_a_bert_models_tokens_are_counted_by_its_own_vocabulary() -> None:
    count = word_piece_count(
        {
            "tokenizer.ggml.model": "bert",
            "tokenizer.ggml.tokens": VOCABULARY,
            "tokenizer.ggml.unknown_token_id": 0,
        }
    )
    assert count is not None
    assert [count(t) for t in ("Open the channels", "(unable)", "zzz", "")] == [4, 4, 1, 0]


def test_a_bert_text_above_the_context_is_never_sent() -> None:
    with OllamaServer(num_ctx=64, vocabulary=VOCABULARY) as server:
        embedder = ollama(server)
        long = "open the " * 31
        embedder.embed([long, "the channel"])
        with pytest.raises(TextTooLong, match=r"64 tokens.*context of 62"):
            embedder.embed([long + "open the"])
    assert server.calls == [[long, "the channel"]]


def test_a_vocabulary_that_the_server_counts_otherwise_is_not_trusted() -> None:
    with OllamaServer(vocabulary=VOCABULARY) as server:
        server.count_tokens = len
        assert isinstance(ollama(server).count, TokenBound)


@pytest.mark.parametrize(
    ("text", "bound"),
    [("", 1), ("xyzzy", 6), ("漢字", 7), ("ﷺ", 11), ("documentation " * 10, 29)],
)
def test_a_bound_is_the_lesser_of_bytes_and_measured_tokens(text: str, bound: int) -> None:
    assert TokenBound()(text) == bound
    assert TokenBound().within(text, bound)
    assert not TokenBound().within(text, bound - 1)


# A real Ollama


@pytest.fixture(scope="module")
def real() -> EmbedderSettings:
    host = os.environ.get("OLLAMA_HOST", "")
    if not host:
        pytest.skip("OLLAMA_HOST names no server")
    try:
        urllib.request.urlopen(f"{parse_host(host).url}/api/version", timeout=5).close()
    except OSError as error:
        pytest.skip(f"no Ollama answers at OLLAMA_HOST: {error}")
    return EmbedderSettings("ollama", "all-minilm", (host,))


@pytest.mark.ollama
def test_a_real_server_embeds(real: EmbedderSettings) -> None:
    embedder = open_embedder(real)
    assert (embedder.dimensions, embedder.context) == (384, 254)
    vectors = embedder.embed(TEXTS)
    assert int(np.argmax(vectors @ embedder.embed_query("how to open a channel"))) == 1


@pytest.mark.ollama
def test_a_real_servers_longest_text_is_read_whole(real: EmbedderSettings) -> None:
    embedder = open_embedder(real)
    whole, shorter = embedder.embed(["word " * 253 + "channel", "word " * 253])
    assert not np.allclose(whole, shorter, atol=1e-4)
    with pytest.raises(TextTooLong):
        embedder.embed(["word " * 255])


@pytest.mark.ollama
def test_a_real_servers_tokens_are_counted_exactly(real: EmbedderSettings) -> None:
    embedder = open_embedder(real)
    assert isinstance(embedder, OllamaEmbedder)
    host = embedder.hosts.all[0]
    for text in (*TEXTS, "x" * 90, "a_b.c(){}[]==== 0x1F ½ ﬁne İstanbul Größe 10.5%", "|---|---|"):
        assert host.tokens(embedder.asked, text) == embedder.count(text), text


@pytest.fixture
def without_num_ctx(real: EmbedderSettings) -> Iterator[EmbedderSettings]:
    """A model whose runner takes more than the model was trained with, as it is by default."""
    name = "bbjrag-test-no-num-ctx"
    made = {
        "model": name,
        "from": real.model,
        "parameters": {"num_ctx": 2048},
        "modelfile": f"FROM {real.model}\nPARAMETER num_ctx 2048",  # until Ollama 0.5.5
        "stream": False,
    }
    assert ask_real(real, "POST", "create", made) == 200
    yield EmbedderSettings("ollama", name, real.hosts)
    assert ask_real(real, "DELETE", "delete", {"model": name}) == 200


def ask_real(real: EmbedderSettings, method: str, path: str, body: dict[str, object]) -> int:
    url = f"{parse_host(real.hosts[0]).url}/api/{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.ollama
@pytest.mark.faults
def test_a_real_runner_that_long_texts_kill_is_never_killed(
    without_num_ctx: EmbedderSettings,
) -> None:
    deadly = {"model": without_num_ctx.model, "input": ["word " * 511], "truncate": True}
    ask_real(without_num_ctx, "POST", "embed", deadly)  # servers without a fix die here
    embedder = open_embedder(without_num_ctx)
    texts = ["fine", *("word " * words for words in (509, 510, 511, 512, 513, 5000)), "fine too"]
    vectors, rejected = embed_each(embedder, texts)
    assert sorted(rejected) == [3, 4, 5, 6]
    assert all(isinstance(error, TextTooLong) for error in rejected.values())
    assert np.isfinite(vectors[[0, 1, 2, 7]]).all()


@pytest.mark.ollama
def test_a_real_server_says_which_model_is_missing(real: EmbedderSettings) -> None:
    with pytest.raises(EmbedderError, match="ollama pull no-such-model"):
        open_embedder(EmbedderSettings("ollama", "no-such-model", real.hosts))
