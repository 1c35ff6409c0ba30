"""Those who answer the inference benchmark's prompts do the same work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.inference_runners import BareLoop, EngineRunner, LlamaRunner, Runner, Work
from benchmarks.own_process import OwnProcess
from benchmarks.random_model import TINY, write_random_model
from freehold.inference import Engine, GenerationRequest
from freehold.inference.llama_model import LlamaModel
from freehold.inference.options import EngineOptions
from freehold.models import DEMO_MODEL, model_path

DEMO = model_path(DEMO_MODEL)
PASSAGES = "Answer from the context and cite it.\nContext:\n[1] The heron is a wading bird that eats fish and frogs."


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The demonstration model."""
    with closing(Engine(DEMO)) as opened:
        yield opened


async def test_bare_loop_answers_what_the_engine_answers(engine: Engine) -> None:
    """The ceiling is measured on real answers: prompts that share a beginning, cold, warm and with other ends."""
    questions = ["What does the heron eat?", "Is the heron a wading bird?", "What eats fish?"]
    texts = [
        engine.render([{"role": "system", "content": PASSAGES}, {"role": "user", "content": question}])
        for question in questions
    ]
    prompts = [tuple(engine.tokenize(text)) for text in texts]
    shared = len(engine.tokenize(texts[0].split("What does")[0]))
    expected = [(await engine.generate(GenerationRequest(text, max_tokens=6))).text for text in texts]
    with closing(LlamaModel(DEMO)) as model, closing(BareLoop(DEMO, EngineOptions(1024, 4096, 3, 1))) as bare:
        for order in ((0, 1, 2), (0, 1, 2), (2, 0, 1)):
            bare.seconds(Work(tuple(prompts[number] for number in order), 6, shared=shared))
            answers = [b"".join(model.piece(token) for token in answer).decode() for answer in bare.answers]
            assert answers == [expected[number] for number in order]


@pytest.mark.parametrize("kind", [EngineRunner, LlamaRunner])
def test_runners_time_the_whole_answer(kind: type[EngineRunner | LlamaRunner], tmp_path: Path) -> None:
    """Each gives every token that was asked for, or says so, and its first piece before the last."""
    path = write_random_model(tmp_path / "tiny.gguf", TINY)
    with closing(kind(path)) as runner:
        measured: Runner = runner
        prompts = tuple(tuple(range(start, start + 40)) for start in (400, 900))
        assert measured.seconds(Work(prompts, 20)) > 0
        assert runner.first_token(prompts[0]) > 0
        with pytest.raises(RuntimeError, match="would not be fair"):
            measured.seconds(Work((tuple(range(100, 4000)),), 400))  # more than the context holds


def test_a_process_of_its_own_does_the_same(tmp_path: Path) -> None:
    """A runner elsewhere answers, and what goes wrong there is raised here."""
    path = write_random_model(tmp_path / "tiny.gguf", TINY)
    with closing(OwnProcess(LlamaRunner, path)) as elsewhere:
        assert elsewhere.name == "Llama"
        elsewhere.forget()
        assert 0 < elsewhere.seconds(Work(((5, 6, 7),), 4)) < 60
        assert 0 < elsewhere.first_token((5, 6, 7)) < 60
        with pytest.raises(ValueError, match="exceed"):
            elsewhere.seconds(Work(((5,) * 5000,), 4))
