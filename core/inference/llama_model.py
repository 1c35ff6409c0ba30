"""A GGUF model loaded through llama.cpp's low-level interface: vocabulary, tokens, chat template.

`llama_cpp.Llama` is not used: it redirects the whole process's stdout and stderr while it loads, cannot be interrupted
while it reads a prompt, and turns each token back into text from the beginning of the answer.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freehold.errors import InferenceError, ModelFileError
from freehold.inference.amx import repacking_works
from freehold.inference.chat_template import ChatTemplate, template_source
from freehold.inference.gguf import ModelHeader, read_header
from freehold.inference.tool_forms import MARKERS

if TYPE_CHECKING:
    from freehold.inference.guide import Guides

__all__ = ["LlamaModel", "available_threads", "default_threads"]

logger = logging.getLogger(__name__)

_SMALL = 64 * 2**20
"""Bytes of a model file that one thread serves well."""


class _Log:
    """llama.cpp's log: its errors are kept for our own messages; everything is shown where FREEHOLD_LLAMA_LOG=1."""

    def __init__(self) -> None:
        import llama_cpp

        self.errors: deque[str] = deque(maxlen=20)
        self._show = os.environ.get("FREEHOLD_LLAMA_LOG") == "1"
        # The callback must live as long as the process: llama.cpp keeps the pointer.
        self._callback = llama_cpp.llama_log_callback(self._take)
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()

    def _take(self, level: int, text: bytes, _: Any) -> None:
        if self._show:
            sys.stderr.write(text.decode("utf-8", "replace"))
        if level == 4:  # GGML_LOG_LEVEL_ERROR in ggml.h; llama_cpp's own table is of an older order
            line = text.decode("utf-8", "replace").strip()
            self.errors.append(line)
            logger.debug("llama.cpp: %s", line)


@cache
def _log() -> _Log:
    """Start llama.cpp's backend and take its log, once per process."""
    return _Log()


def available_threads() -> int:
    """The processors this process may use, at most 8: more help little, and starve the rest."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, 8))


def default_threads(header: ModelHeader) -> int:
    """Threads for one model: `available_threads`, but one for a small model.

    A second made the demonstration model no faster at single tokens on two idle cores, and where other processes are
    busy, threads that wait for each other after every operation made the embedding model many times slower.
    """
    return 1 if header.file_size < _SMALL else available_threads()


class LlamaModel:
    """The weights and the vocabulary of one GGUF file; contexts are made from it.

    Tokenising is safe from any thread. Its owner calls `close` last, after every context made from it is gone.

    Args:
        path: The GGUF file.
        vocabulary_only: Load no weights, only what tokenising needs.

    Raises:
        ModelFileError: The file cannot be read, or llama.cpp refuses it; the message holds llama.cpp's reason.
    """

    def __init__(self, path: str | Path, *, vocabulary_only: bool = False) -> None:
        import llama_cpp

        self.header: ModelHeader = read_header(path)
        log = _log()
        log.errors.clear()
        self._lock = threading.Lock()
        parameters: Any = llama_cpp.llama_model_default_params()
        parameters.vocab_only = vocabulary_only
        parameters.use_extra_bufts = not vocabulary_only and repacking_works()
        self._handle: Any = llama_cpp.llama_model_load_from_file(str(self.header.path).encode(), parameters)
        if not self._handle:
            reason = "; ".join(log.errors) or "no reason given"
            raise ModelFileError(f"llama.cpp cannot load {self.header.path}: {reason}.")
        self._vocab: Any = llama_cpp.llama_model_get_vocab(self._handle)
        self._vocabulary_size = int(llama_cpp.llama_vocab_n_tokens(self._vocab))
        beginning = llama_cpp.llama_vocab_bos(self._vocab)
        begins = llama_cpp.llama_vocab_get_add_bos(self._vocab) and beginning >= 0
        self._beginning: int | None = beginning if begins else None
        self._piece = ctypes.create_string_buffer(256)
        self._templates: dict[str, ChatTemplate] = {}

    @property
    def vocab(self) -> Any:
        """The `llama_vocab *`, for making a grammar."""
        return self._vocab

    @property
    def embedding_length(self) -> int:
        """Width of an embedding."""
        import llama_cpp

        return int(llama_cpp.llama_model_n_embd(self._handle))

    @property
    def class_count(self) -> int:
        """Numbers that a reranker gives for a pair of texts."""
        import llama_cpp

        return int(llama_cpp.llama_model_n_cls_out(self._handle))

    @property
    def vocabulary_size(self) -> int:
        """Tokens in the vocabulary, and logits in a row."""
        return self._vocabulary_size

    @property
    def forgets(self) -> bool:
        """Whether a part of what was read can be forgotten; a recurrent model cannot."""
        import llama_cpp

        return not (llama_cpp.llama_model_is_recurrent(self._handle) or llama_cpp.llama_model_is_hybrid(self._handle))

    @cached_property
    def guides(self) -> Guides:
        """Grammars over this vocabulary."""
        from freehold.inference.guide import Guides

        return Guides(self)

    def new_context(self, parameters: Any) -> Any:
        """A `llama_context *` with these parameters.

        Raises:
            InferenceError: llama.cpp cannot make it, most often for want of memory.
        """
        import llama_cpp

        log = _log()
        log.errors.clear()
        context = llama_cpp.llama_init_from_model(self._handle, parameters)
        if not context:
            reason = "; ".join(log.errors) or "not enough memory?"
            raise InferenceError(
                f"llama.cpp cannot make a context of {parameters.n_ctx} tokens for {self.header.path}: {reason}. "
                "Choose a smaller context_length."
            )
        return context

    def _text(self, token: int) -> str:
        import llama_cpp

        if token < 0:
            return ""
        return bytes(llama_cpp.llama_vocab_get_text(self._vocab, token) or b"").decode("utf-8", "replace")

    def tokenize(self, text: str, *, special: bool, wrap: bool = False) -> list[int]:
        """Tokens of a text.

        Args:
            text: Any text; lone surrogates become `?`.
            special: Read control tokens such as `<|im_end|>` in it, instead of taking them as plain text.
            wrap: Put the model's own beginning and end around it, as embedding models want.
        """
        import llama_cpp

        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        with self._lock:
            if not self._handle:
                raise InferenceError(f"The model {self.header.name} is closed.")
            tokens = (llama_cpp.llama_token * room)()
            count = llama_cpp.llama_tokenize(self._vocab, data, len(data), tokens, room, wrap, special)
            if count < 0:
                room = -count
                tokens = (llama_cpp.llama_token * room)()
                count = llama_cpp.llama_tokenize(self._vocab, data, len(data), tokens, room, wrap, special)
        return tokens[:count]

    def count_tokens(self, text: str) -> int:
        """How many tokens `tokenize` gives with `wrap`, without making them."""
        import llama_cpp

        data = text.encode("utf-8", "replace")
        with self._lock:
            if not self._handle:
                raise InferenceError(f"The model {self.header.name} is closed.")
            # Without room for them, it tells how many there are.
            return abs(int(llama_cpp.llama_tokenize(self._vocab, data, len(data), None, 0, True, False)))

    def tokenize_prompt(self, prompt: str) -> list[int]:
        """Tokens of a rendered prompt, with the model's beginning token once, whether or not the template wrote it."""
        tokens = self.tokenize(prompt, special=True)
        beginning = self._beginning
        return [beginning, *tokens] if beginning is not None and tokens[:1] != [beginning] else tokens

    @cached_property
    def _tool_markers(self) -> frozenset[int]:
        """Tokens that mark tool calls. Some are control tokens, and calls are read from the text: they print."""
        tokens = [self.tokenize(marker, special=True) for marker in MARKERS]
        return frozenset(found[0] for found in tokens if len(found) == 1)

    def piece(self, token: int) -> bytes:
        """The bytes of a token; nothing for a control token that marks no tool call. For the owner thread only."""
        import llama_cpp

        shown = token in self._tool_markers
        count = llama_cpp.llama_token_to_piece(self._vocab, token, self._piece, len(self._piece), 0, shown)
        if count < 0:
            self._piece = ctypes.create_string_buffer(-count)
            count = llama_cpp.llama_token_to_piece(self._vocab, token, self._piece, len(self._piece), 0, shown)
        return self._piece.raw[:count]

    def ends(self, token: int) -> bool:
        """Whether this token ends a generation."""
        import llama_cpp

        return bool(llama_cpp.llama_vocab_is_eog(self._vocab, token))

    def control_tokens(self) -> list[str]:
        """The text of every control token."""
        import llama_cpp

        return [
            self._text(token)
            for token in range(llama_cpp.llama_vocab_n_tokens(self._vocab))
            if llama_cpp.llama_vocab_is_control(self._vocab, token) or llama_cpp.llama_vocab_is_eog(self._vocab, token)
        ]

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template: str | None = None,
    ) -> str:
        """The prompt for these messages in the model's own chat form, up to where the assistant speaks.

        Args:
            messages: As `ChatTemplate.render` takes them.
            tools: Functions that the model may call, as OpenAI describes them.
            template: The name of a chat template, or its Jinja text, instead of the model's own.

        Raises:
            ModelFileError: The file holds no chat template.
            InferenceError: The template refuses the messages, for instance a role that it does not know.
            UserError: There is no template of that name.
        """
        import llama_cpp

        source = template_source(self.header, template, tools=bool(tools))
        with self._lock:
            if not self._handle:
                raise InferenceError(f"The model {self.header.name} is closed.")
            if source not in self._templates:
                self._templates[source] = ChatTemplate(
                    source,
                    name=self.header.name,
                    bos=self._text(llama_cpp.llama_vocab_bos(self._vocab)),
                    eos=self._text(llama_cpp.llama_vocab_eos(self._vocab)),
                    control=self.control_tokens(),
                )
            filled = self._templates[source]
        return filled.render(messages, tools)

    def close(self) -> None:
        """Free the weights; safe to call again."""
        import llama_cpp

        with self._lock:
            if self._handle:
                llama_cpp.llama_model_free(self._handle)
                self._handle = self._vocab = None
        guides = self.__dict__.pop("guides", None)
        if guides is not None:
            guides.close()
