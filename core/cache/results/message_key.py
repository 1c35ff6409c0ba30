"""Keys for LangGraph's node cache under which a repeated question is found again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from langgraph.types import CachePolicy

from freehold.cache.results.canonical import canonical_json
from freehold.cache.results.message_form import MessageForms
from freehold.cache.situation import digest
from freehold.cache.situation import normalise as normalise_question
from freehold.errors import CacheKeyError, SettingsError

__all__ = ["MessageKey", "chat_policy", "message_key"]

_MISSING = object()


@dataclass(frozen=True)
class MessageKey:
    """Digests a node's input by what it says: a `key_func` for LangGraph's `CachePolicy`.

    LangGraph's own key is a pickle of the input, in which every message has a new random id, so that the same question
    never has the same key. This one writes the input as `canonical_json` does, and messages as `MessageForms` does.

    Args:
        keys: Keys of the state that matter; None is all of them.
        normalise: Whether user messages that differ only in case, white space and closing punctuation are one.

    Raises:
        CacheKeyError: When it is called: the input holds something that has no stable form, or has no keys to choose.
        SettingsError: `keys` names nothing.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> key = MessageKey(normalise=True)
        >>> key({"messages": [HumanMessage("What is it?", id="1")]}) == key({"messages": [HumanMessage("what is it")]})
        True
    """

    keys: Iterable[str] | None = None
    normalise: bool = False

    def __post_init__(self) -> None:
        if self.keys is not None:
            keys = (self.keys,) if isinstance(self.keys, str) else tuple(self.keys)
            if not keys:
                raise SettingsError("keys=() cannot be used: every input would have the same key. Name one, or None.")
            object.__setattr__(self, "keys", keys)

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        """64 hexadecimal characters for an input; for a task of the functional API, for all of its arguments."""
        if len(args) == 1 and not kwargs:
            return self.digest(self.chosen(args[0]))
        return self.digest([self.chosen(args[0]), *args[1:], kwargs] if args else kwargs)

    def chosen(self, state: Any) -> Any:
        """The part of a state that matters."""
        if self.keys is None:
            return state
        if isinstance(state, Mapping):
            chosen = {key: state[key] for key in self.keys if key in state}
        else:
            found = {key: getattr(state, key, _MISSING) for key in self.keys}
            chosen = {key: value for key, value in found.items() if value is not _MISSING}
        if not chosen:
            raise CacheKeyError("The input", f"is a {type(state).__qualname__} and has none of {tuple(self.keys)}")
        return chosen

    def digest(self, value: Any, salt: str = "") -> str:
        """64 hexadecimal characters for any value; other ones with another salt."""
        text: Callable[[str], str] | None = normalise_question if self.normalise else None
        written = canonical_json(value, "input", special=MessageForms(text))
        return digest([salt, written])


message_key = MessageKey()
"""The key of an input, all of it and to the letter: `CachePolicy(key_func=message_key)`."""


def chat_policy(
    ttl: int | None = None, *, keys: Iterable[str] | None = None, normalise: bool = False
) -> CachePolicy[MessageKey]:
    """A `CachePolicy` under which a repeated chat turn is answered from LangGraph's node cache.

    LangGraph knows no users when it looks into the cache: what is cached so is shared by all who run the graph, and a
    hit brings back the messages with the ids that they had. For a node whose answer depends on the user, or that may be
    asked the same twice in one thread, use `freehold.nodes.cached`.

    Args:
        ttl: Seconds that an entry lives; None is the cache's own time.
        keys: Keys of the state that matter; None is all of them.
        normalise: Whether user messages that differ only in case, white space and closing punctuation are one.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> from langgraph.cache.memory import InMemoryCache
        >>> from langgraph.graph import START, MessagesState, StateGraph
        >>> asked = []
        >>> def chat(state):
        ...     asked.append(state["messages"][-1].text)
        ...     return {"messages": [AIMessage("In the shed.")]}
        >>> graph = StateGraph(MessagesState).add_node("chat", chat, cache_policy=chat_policy()).add_edge(START, "chat")
        >>> compiled = graph.compile(cache=InMemoryCache())
        >>> for _ in range(3):
        ...     state = compiled.invoke({"messages": [("user", "Where is the key?")]})
        >>> asked, state["messages"][-1].text
        (['Where is the key?'], 'In the shed.')
    """
    return CachePolicy(key_func=MessageKey(keys, normalise), ttl=ttl)
