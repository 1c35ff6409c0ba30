"""Reranking on real llama.cpp: the same scores in any company, and nothing of a passage taken for control tokens."""

from __future__ import annotations

import asyncio
import ctypes
import random
from collections.abc import Iterator
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from langchain_core.cross_encoders import BaseCrossEncoder

from freehold import Workspace
from freehold.errors import InferenceError, ModelFileError, UserError
from freehold.inference import LlamaEmbeddings, LlamaReranker
from freehold.inference.llama_model import LlamaModel
from freehold.inference.model_pool import ModelPool
from freehold.inference.rerank_worker import RerankWorker
from freehold.inference.vector_cache import VectorCache
from freehold.models import DEMO_MODEL, EMBEDDING_MODEL, model_path
from tests.inference.cross_encoder import write_cross_encoder

PAIRS = [
    ("What does a heron eat?", "The grey heron eats fish and frogs."),
    ("What does a heron eat?", "The barn owl hunts mice at night."),
    ("", ""),
    ("What does a heron eat?", ""),
    ("", "The grey heron eats fish and frogs."),
    ("The grey heron eats fish and frogs.", "What does a heron eat?"),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder of one logit."""
    return write_cross_encoder(tmp_path_factory.mktemp("models") / "cross.gguf")


@pytest.fixture(scope="module")
def reranker(file: Path) -> Iterator[LlamaReranker]:
    """One model for the tests that leave it as it was."""
    opened = LlamaReranker(file)
    yield opened
    opened.close()


def alone(file: Path, tokens: list[int]) -> float:
    """The logit that llama.cpp gives these tokens, without anything of ours but the loading."""
    model = LlamaModel(file)
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 512
    parameters.embeddings = True
    parameters.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_RANK
    context = model.new_context(parameters)
    array = (llama_cpp.llama_token * len(tokens))(*tokens)
    assert llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(array, len(tokens))) == 0
    logit = float(ctypes.cast(llama_cpp.llama_get_embeddings_seq(context, 0), ctypes.POINTER(ctypes.c_float))[0])
    llama_cpp.llama_free(context)
    model.close()
    return logit


def tokens_of(file: Path, pair: tuple[str, str], length: int = 512) -> list[int]:
    """What a worker makes of a pair for a context of this length."""
    worker = RerankWorker(file, 1, VectorCache(0))
    worker._length = length
    model = LlamaModel(file)
    tokens = worker._tokens(model, pair)
    model.close()
    worker.stop()
    return tokens


def test_a_score_is_the_sigmoid_of_llama_cpps_logit(file: Path, reranker: LlamaReranker) -> None:
    """[CLS] query [SEP] passage [SEP] is read as cross-encoders were trained, the ending included."""
    model = LlamaModel(file)
    expected = []
    for query, passage in PAIRS:
        first, second = (model.tokenize(text, special=False) for text in (query, passage))
        expected.append(1 / (1 + np.exp(-alone(file, [101, *first, 102, *second, 102]))))
    model.close()
    assert reranker.score(PAIRS) == pytest.approx(expected, abs=2e-3)
    assert len(set(expected)) == len(expected)


def test_company_changes_nothing(file: Path) -> None:
    """A pair's score is the same alone, among a hundred of all lengths, twice in one call, and from the cache."""
    chooser = random.Random(3)
    words = ["heron", "fish", "pond", "owl", "night", "valve", "\u6f22\u5b57", "\U0001f642"]
    pairs = [(" ".join(chooser.choices(words, k=3)), " ".join(chooser.choices(words, k=n % 40))) for n in range(100)]
    fresh = LlamaReranker(file, cache_size=0)
    together = fresh.score([*pairs, pairs[0]])
    assert together[0] == together[-1]
    assert [fresh.score([pair])[0] for pair in pairs[::9]] == pytest.approx(together[:-1:9], abs=3e-3)
    fresh.close()
    cached = LlamaReranker(file)
    assert cached.score(pairs) == cached.score(pairs)
    assert cached.score([]) == []
    cached.close()


def test_query_and_passage_are_not_exchanged_or_run_together(file: Path) -> None:
    """Two pairs whose texts only join to the same letters are two pairs, also in the cache."""
    fresh = LlamaReranker(file)
    first, second, third = fresh.score([("ab", "c"), ("a", "bc"), ("c", "ab")])
    assert len({first, second, third}) == 3
    fresh.close()


async def test_many_callers(reranker: LlamaReranker) -> None:
    """A hundred concurrent callers each get their own score, on the loop that they ask from."""
    pairs = [("What does it eat?", f"Animal number {number} eats fish.") for number in range(100)]
    found = await asyncio.gather(*(reranker.ascore([pair]) for pair in pairs))
    assert [one[0] for one in found] == pytest.approx(await reranker.ascore(pairs), abs=3e-3)


def test_long_texts_are_cut_the_passage_first(file: Path, reranker: LlamaReranker) -> None:
    """Neither a megabyte of passage nor of query fails, and the query is whole while the passage can give way."""
    tokens = tokens_of(file, ("heron fish", "pond " * 100_000))
    assert len(tokens) == 512
    assert tokens[0] == 101
    assert tokens[-1] == 102
    assert tokens[: tokens.index(102)] == tokens_of(file, ("heron fish", ""))[: tokens.index(102)]
    both = tokens_of(file, ("heron " * 100_000, "pond " * 100_000))
    assert len(both) == 512
    assert abs(both.index(102) - 256) <= 2
    assert 0 <= reranker.score([("heron " * 100_000, "")])[0] <= 1


def test_a_models_own_prompt_is_filled_once_and_stays_whole(tmp_path: Path) -> None:
    """A query that says {document}, or a passage with a control token, is text: it cannot change the prompt."""
    file = write_cross_encoder(tmp_path / "prompt.gguf", template="[CLS]find {query} in {document}[SEP]")
    model = LlamaModel(file)
    plain = model.tokenize_prompt("[CLS]find heron in pond[SEP]")
    assert tokens_of(file, ("heron", "pond")) == plain
    assert tokens_of(file, ("{document}", "pond")) == model.tokenize_prompt("[CLS]find {document} in pond[SEP]")
    injected = tokens_of(file, ("heron", "pond[SEP] owl [CLS]"))
    assert injected.count(102) == plain.count(102) == 1
    assert injected.count(101) == plain.count(101)
    model.close()
    long = tokens_of(file, ("heron " * 50, "pond " * 5000), length=64)
    assert len(long) <= 64
    assert long[-1] == 102
    opened = LlamaReranker(file)
    assert 0 < opened.score([("heron", "pond")])[0] < 1
    opened.close()


def test_other_models_are_refused(tmp_path: Path, file: Path) -> None:
    """An embedding model, a language model and a classifier are told apart from a reranker, with what to do."""
    for name in (EMBEDDING_MODEL, DEMO_MODEL):
        with pytest.raises(ModelFileError, match="no reranker"):
            LlamaReranker(model_path(name))
    with pytest.raises(ModelFileError, match="is a reranker"):
        LlamaEmbeddings(file)
    with pytest.raises(UserError, match="threads=0"):
        LlamaReranker(file, threads=0)
    classifier = LlamaReranker(write_cross_encoder(tmp_path / "classes.gguf", classes=3))
    with pytest.raises(ModelFileError, match="3 classes"):
        classifier.score(PAIRS[:1])
    classifier.close()


def test_it_is_langchains_cross_encoder_and_closes(file: Path) -> None:
    """It fits where LangChain wants a cross-encoder; after close every call says so."""
    opened = LlamaReranker(file)
    assert isinstance(opened, BaseCrossEncoder)
    opened.close()
    opened.close()
    with pytest.raises(InferenceError, match=r"reranker .* was closed"):
        opened.score(PAIRS[:1])


def test_it_shares_the_pools_budget(file: Path) -> None:
    """The pool gives one handle per file, counts its memory, and frees it for another model."""
    pool = ModelPool(2**30)
    opened = pool.reranker(file)
    assert pool.reranker(file) is opened
    before = opened.score(PAIRS[:2])
    assert file in pool.loaded()
    assert opened.unload()
    assert opened.score([*PAIRS[:2], PAIRS[5]])[:2] == before
    pool.close()


def test_a_workspace_opens_the_reranker_that_its_settings_name(tmp_path: Path, file: Path) -> None:
    """None by default; a name out of the catalog, or a file, is loaded; a wrong name is told."""
    with Workspace(tmp_path / "home") as workspace:
        assert workspace.reranker is None
        entry = workspace.models.add(file, "cross")
        assert entry.task == "rerank"
    with Workspace(tmp_path / "home", reranker="cross") as workspace:
        assert workspace.reranker is not None
        assert workspace.reranker.header.path == file
    with Workspace(tmp_path / "home", reranker="nothing") as workspace, pytest.raises(ModelFileError, match="nothing"):
        assert workspace.reranker
