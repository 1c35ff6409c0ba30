"""Guided generation: what may come next, so that the text follows a JSON schema or a grammar, whatever the model says.

llguidance computes the masks: exact, and in microseconds for 150,000 tokens, where llama.cpp's own grammar sampler
walks through the whole vocabulary. It also knows what schemas demand: ranges, lengths, patterns, references.

The text is also whole where `max_tokens` comes near. Beside the text goes an ending: tokens after which it would be
whole. While much room is left, everything that the grammar allows is allowed. Near the end of the room, only tokens
after which an ending still fits are.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from freehold.errors import InferenceError, UserError
from freehold.inference.generation import GenerationRequest
from freehold.inference.guide_closing import allowed_bits
from freehold.inference.guide_forms import gbnf_grammar, guided_schema, longest_step, patterns_of, schema_grammar
from freehold.inference.guide_vocabulary import Vocabulary

if TYPE_CHECKING:
    from llguidance import LLMatcher

    from freehold.inference.llama_model import LlamaModel

__all__ = ["Guide", "Guides"]

_KEPT = 64
"""Compiled grammars that are kept."""
_LONGEST = 4096
"""Tokens of the longest document that is looked for where only whole documents are of use."""
_LONGEST_TEXT = 256
"""The same for a grammar, which may have no end at all."""
_NEAR = 48
"""Tokens of room, beside the ending and a grammar's longest step, under which a text is near its end."""
_MOST_STEP = 1024
_WEIGHED = 40
"""Tokens that are weighed near the end, the likeliest first."""
_FAILED = 2
"""Searches in vain after which no more of them are searched for an ending."""
_SHORT, _FAR = 12, 2000
"""Places that one search looks at: for a token that may come next, and for one that was chosen."""


@dataclass(frozen=True)
class _Compiled:
    """A grammar at its beginning."""

    matcher: LLMatcher
    ending: tuple[int, ...] | None
    """Tokens of a whole text; None where none is known."""
    words: tuple[tuple[int, ...], ...]
    """A short text for each pattern."""
    step: int
    """About the most tokens by which one token can put off the end."""


class Guides:
    """Compiles what requests ask for, for one model; safe from any thread.

    The vocabulary is read when the first grammar is compiled: about half a second for 150,000 tokens.

    Args:
        model: The model; it must stay open as long as its guides are used.
    """

    def __init__(self, model: LlamaModel) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._vocabulary: Vocabulary | None = None
        self._compiled: OrderedDict[str, _Compiled] = OrderedDict()

    def compile(self, request: GenerationRequest) -> Guide | None:
        """The guide of a request; None where its text is free.

        Raises:
            ModelFileError: The model has no token that ends a text.
            UserError: More than one form is given, the schema or grammar cannot be used, or `max_tokens` is too few for
                any document of the schema.
        """
        given = [name for name in ("json_schema", "grammar", "lark") if getattr(request, name) is not None]
        if not given:
            return None
        if len(given) > 1:
            raise UserError(f"A generation follows one of json_schema, grammar and lark, not {' and '.join(given)}.")
        vocabulary = self._read_vocabulary()
        schema = None if request.json_schema is None else guided_schema(request.json_schema)
        if schema is not None:
            grammar = schema_grammar(schema)
        else:
            grammar = gbnf_grammar(request.grammar) if request.grammar is not None else request.lark or ""
        with self._lock:
            compiled = self._compiled.get(grammar)
            if compiled is not None:
                self._compiled.move_to_end(grammar)
        if compiled is None:
            compiled = _compile(vocabulary, grammar, given[0], schema)
            self._keep(grammar, compiled)
        if request.json_schema is not None and len(compiled.ending or ()) > request.max_tokens:
            compiled = _shortened(vocabulary, compiled, request.max_tokens)
            self._keep(grammar, compiled)
        return Guide(vocabulary, compiled)

    def close(self) -> None:
        """Let go of the vocabulary, and of the model with it."""
        with self._lock:
            if self._vocabulary is not None:
                self._vocabulary.close()

    def _keep(self, grammar: str, compiled: _Compiled) -> None:
        with self._lock:
            self._compiled[grammar] = compiled
            self._compiled.move_to_end(grammar)
            while len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)

    def _read_vocabulary(self) -> Vocabulary:
        with self._lock:
            if self._vocabulary is None:
                self._vocabulary = Vocabulary.read(self._model)
            return self._vocabulary


def _compile(vocabulary: Vocabulary, grammar: str, form: str, schema: Mapping[str, Any] | None) -> _Compiled:
    from llguidance import LLMatcher

    failed, messages = LLMatcher.validate_grammar_with_warnings(grammar, vocabulary.tokenizer)
    matcher = LLMatcher(vocabulary.tokenizer, grammar, log_level=0)
    if failed or matcher.is_error():
        raise _refusal(form, messages[0] if failed else matcher.get_error())
    if schema is None:
        found = vocabulary.closing.find(matcher, _LONGEST_TEXT, effort=_FAR)
        return _Compiled(matcher, None if found is None else tuple(found), (), len(found or ()))
    if any("oneOf" in message for message in messages):
        raise _refusal(form, "two branches of its oneOf may hold at once. Write anyOf where that does no harm")
    words = _words(vocabulary, schema)
    found = vocabulary.closing.find(matcher, _LONGEST, words=words)
    if found is not None:
        return _Compiled(matcher, tuple(found), words, min(longest_step(schema), _MOST_STEP))
    raise _refusal(form, f"no document of {_LONGEST} tokens or fewer was found; does it refer to itself for ever?")


def _words(vocabulary: Vocabulary, schema: Mapping[str, Any]) -> tuple[tuple[int, ...], ...]:
    """A short text for each pattern of a schema."""
    from llguidance import LLMatcher

    words = []
    for pattern in patterns_of(schema):
        matcher = LLMatcher(vocabulary.tokenizer, LLMatcher.grammar_from_regex(pattern), log_level=0)
        found = None if matcher.is_error() else vocabulary.closing.find(matcher, _LONGEST_TEXT)
        if found:
            text = vocabulary.tokenizer.decode_str(found)
            words.append(tuple(vocabulary.tokenizer.tokenize_str(json.dumps(text, ensure_ascii=False)[1:-1])))
    return tuple(words)


def _refusal(form: str, reason: str) -> UserError:
    name = {"json_schema": "JSON schema", "grammar": "GBNF grammar", "lark": "Lark grammar"}[form]
    advice = ""
    if reason.startswith("Unimplemented keys"):
        advice = " Leave these keys out."
    elif reason.startswith("Resource"):
        advice = " Nothing is fetched: put what it refers to into the schema itself, under `$defs`."
    elif reason.startswith("regex parse error"):
        advice = " Write the pattern without it."
    elif reason.startswith("min/maxProperties"):
        advice = " Leave them out, or require every property."
    return UserError(f"This {name} cannot be followed: {reason.strip()}.{advice}".replace("?.", "?").replace("..", "."))


def _shortened(vocabulary: Vocabulary, compiled: _Compiled, limit: int) -> _Compiled:
    """The same with an ending of at most so many tokens."""
    found = vocabulary.closing.shortest(compiled.matcher, limit, words=compiled.words)
    if found is None:
        raise UserError(
            f"max_tokens={limit} is too few for this JSON schema: its shortest document takes about "
            f"{len(compiled.ending or ())} tokens. Allow more tokens, or ask for less."
        )
    return replace(compiled, ending=tuple(found))


class Guide:
    """What may come next in one text; used by one thread at a time.

    Example:
        >>> guide.mask(logits, remaining=16)  # doctest: +SKIP
        >>> guide.accept(int(logits.argmax()))  # doctest: +SKIP
    """

    def __init__(self, vocabulary: Vocabulary, compiled: _Compiled) -> None:
        self._vocabulary, self._compiled = vocabulary, compiled
        self._matcher = compiled.matcher.deep_copy()
        self._ending: Sequence[int] | None = compiled.ending
        self._weighed: dict[int, Sequence[int]] = {}
        self._ended = False

    @property
    def finished(self) -> bool:
        """Whether the text is whole and nothing more may come."""
        return self._ended or bool(self._matcher.is_stopped())

    @property
    def complete(self) -> bool:
        """Whether the text is whole; more may come."""
        return self._ended or bool(self._matcher.is_accepting())

    def closing(self, remaining: int) -> bool:
        """Whether the text is so near its end that `mask` takes away more than the grammar does."""
        if self._ending is None:
            return False
        return remaining - len(self._ending) <= _NEAR + self._compiled.step

    def mask(self, logits: NDArray[np.float32], remaining: int) -> None:
        """Set to -inf, in place, what may not come next.

        Args:
            logits: One row, the whole vocabulary.
            remaining: Tokens that may still be generated, this one too.

        Raises:
            InferenceError: The grammar needs more work than llguidance allows.
        """
        size = self._vocabulary.size
        allowed = np.unpackbits(allowed_bits(self._matcher, size), count=size, bitorder="little").view(np.bool_)
        if self._matcher.is_error():
            raise InferenceError(f"The grammar cannot be followed any further: {self._matcher.get_error()}")
        allowed[self._vocabulary.ends] = False
        if self.closing(remaining):
            allowed = self._in_time(logits, allowed, remaining)
        if self._matcher.is_accepting():
            allowed[self._vocabulary.ends] = True
        np.copyto(logits, -np.inf, where=~allowed)

    def allows(self, token: int) -> bool:
        """Whether the grammar lets this token come next; only `mask` knows about the room that is left."""
        if token in self._vocabulary.ends:
            return bool(self._matcher.is_accepting())
        return bool(self._matcher.validate_tokens([token]) == 1)

    def accept(self, token: int) -> None:
        """Go on with a token that was chosen.

        Raises:
            InferenceError: It may not come next.
        """
        if token in self._vocabulary.ends and self._matcher.is_accepting():
            self._ended = True
            return
        ending = self._weighed.get(token)
        if ending is None and self._compiled.ending is not None:
            ending = self._after(token, _LONGEST, (), _FAR)
        if not self._matcher.consume_token(token):
            raise InferenceError(f"The grammar does not allow the token {token}: {self._matcher.get_error()}")
        self._ending = ending
        self._weighed.clear()

    def forced(self, limit: int) -> list[int]:
        """Tokens, at most `limit`, that are known to come next; drafts, since the text may also be cut otherwise."""
        return [] if limit < 1 or self.finished else list(self._matcher.compute_ff_tokens()[:limit])

    def copy(self) -> Guide:
        """Another guide at the same place."""
        copied = Guide(self._vocabulary, self._compiled)
        copied._matcher = self._matcher.deep_copy()
        copied._ending, copied._ended = self._ending, self._ended
        return copied

    def _in_time(self, logits: NDArray[np.float32], allowed: NDArray[np.bool_], remaining: int) -> NDArray[np.bool_]:
        """Of the allowed tokens the likeliest after which the text can still be ended, and always one of them."""
        candidates = np.flatnonzero(allowed)
        if len(candidates) > _WEIGHED:
            values = logits[candidates]
            candidates = candidates[np.argpartition(values, -_WEIGHED)[-_WEIGHED:]]
        candidates = candidates[np.argsort(-logits[candidates], kind="stable")]
        left = np.zeros_like(allowed)
        if self._ending:
            left[self._ending[0]] = True
        found: list[Sequence[int]] = []
        failed = 0
        for token in candidates.tolist():
            ending = self._after(token, remaining - 1, found, _SHORT if failed < _FAILED else 0)
            if ending is None:
                failed += 1
                continue
            self._weighed[token] = ending
            left[token] = True
            if ending not in found:
                found.insert(0, ending)
        return left

    def _after(self, token: int, limit: int, found: Sequence[Sequence[int]], effort: int) -> Sequence[int] | None:
        """An ending, of at most so many tokens, of the text with this token; None where none was found."""
        known = self._ending or ()
        if known and token == known[0]:
            return known[1:]
        closing = self._vocabulary.closing
        for ending in (known, *found[:4]):
            # A token often says what two or three of the ending's would have said.
            for start in range(min(3, len(ending) + 1)):
                if len(ending) - start <= limit and closing.leads(self._matcher, [token, *ending[start:]]):
                    return ending[start:]
        if not effort:
            return None
        reached = self._matcher.deep_copy()
        if not reached.consume_token(token):
            return None
        return closing.find(reached, limit, known=known, words=self._compiled.words, effort=effort)
