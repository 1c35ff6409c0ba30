"""The thread that owns a reranker, and what a pair of texts looks like to the model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from freehold.errors import ModelFileError
from freehold.inference.embedding_worker import LONGEST_TOKEN, EmbeddingWorker
from freehold.inference.llama_model import LlamaModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RerankWorker"]

_TEMPLATE = "tokenizer.chat_template.rerank"
_FIELDS = re.compile(r"\{(query|document)\}")


class RerankWorker(EmbeddingWorker[tuple[str, str]]):
    """Scores pairs of a query and a document: one number each, 0 to 1."""

    _kind = "reranker"

    def _pooling(self, model: LlamaModel) -> int | None:
        if model.class_count > 2 or (model.class_count == 2 and not _softened(model)):
            raise ModelFileError(
                f"{self._path} sorts pairs into {model.class_count} classes; a reranker gives one score."
            )
        return None

    def _width(self, model: LlamaModel) -> int:
        return model.class_count

    def _finish(self, rows: NDArray[np.float32]) -> None:
        if rows.shape[1] == 1:  # a logit; two are probabilities of yes and no already
            np.negative(rows, out=rows)
            np.exp(np.clip(rows, -80, 80), out=rows)
            np.reciprocal(1 + rows, out=rows)

    def _tokens(self, model: LlamaModel, text: tuple[str, str]) -> list[int]:
        query, document = (part[: self._length * LONGEST_TOKEN] for part in text)
        template = model.header.metadata.get(_TEMPLATE)
        if isinstance(template, str):
            return self._filled(model, template, query, document)
        return self._joined(model, query, document)

    def _joined(self, model: LlamaModel, query: str, document: str) -> list[int]:
        """Query and document with the model's own tokens around and between them, as cross-encoders were trained.

        What is too long is cut at its end: the document first, the query where it alone takes half of the context.

        Source: `format_rerank` of llama.cpp's server, with the ending that it leaves out for BERT.
        """
        import llama_cpp

        vocab = model.vocab
        separator = llama_cpp.llama_vocab_sep(vocab)
        ending = llama_cpp.llama_vocab_eos(vocab)
        between = [ending if ending >= 0 else separator] if llama_cpp.llama_vocab_get_add_eos(vocab) else []
        between += [separator] if llama_cpp.llama_vocab_get_add_sep(vocab) else []
        around = model.tokenize("", special=False, wrap=True)
        begins = 1 if llama_cpp.llama_vocab_get_add_bos(vocab) and around else 0
        room = self._length - len(around) - len(between)
        first = model.tokenize(query, special=False)
        second = model.tokenize(document, special=False)
        first = first[: max(room - len(second), room // 2)]
        return [*around[:begins], *first, *between, *second[: room - len(first)], *around[begins:]]

    def _filled(self, model: LlamaModel, template: str, query: str, document: str) -> list[int]:
        """The model's own prompt; control tokens in the query or the document are broken, as in chat messages."""
        if self._marks is None:
            marks = sorted((mark for mark in model.control_tokens() if len(mark) > 1), key=len, reverse=True)
            self._marks = re.compile("|".join(map(re.escape, marks)) or r"(?!)")
        values = {
            "query": self._marks.sub(lambda match: match[0][0] + " " + match[0][1:], query),
            "document": self._marks.sub(lambda match: match[0][0] + " " + match[0][1:], document),
        }
        while True:
            # In one pass: a query that says {document} must not be filled itself.
            prompt = _FIELDS.sub(lambda match: values[match[1]], template)
            tokens = model.tokenize_prompt(prompt)
            longer = max(values, key=lambda name: len(values[name]))
            if len(tokens) <= self._length or not values[longer]:
                return tokens[: self._length]
            kept = int(len(values[longer]) * self._length / len(tokens))
            values[longer] = values[longer][: min(kept, len(values[longer]) - 1)]

    _marks: re.Pattern[str] | None = None


def _softened(model: LlamaModel) -> bool:
    """Whether llama.cpp makes probabilities of the logits: for Qwen3's rerankers it does."""
    return model.header.architecture.startswith("qwen3")
