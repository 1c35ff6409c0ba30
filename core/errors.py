"""Every error that Freehold raises on purpose.

    FreeholdError
    ├── UserError                    the caller can mend it: the command line prints it and exits with 2
    │   ├── SettingsError            a setting has a value that cannot be used
    │   ├── WorkspaceError           the workspace folder cannot be opened
    │   │   └── WorkspaceLockedError     another process owns it
    │   ├── ModelFileError           the file is missing, truncated, or not a GGUF
    │   ├── ContextLengthError       the prompt does not fit the model's context
    │   ├── MemoryBudgetError        a model does not fit the memory that models may take
    │   ├── DocumentError            a document, or the folder of documents, cannot be read
    │   ├── MemoryEntryError         an exported memory cannot be read
    │   ├── CacheEntryError          no cached answer, or several, have this name
    │   ├── CacheKeyError            an input has no form that a cache could know it by
    │   └── ScopeError               a user, agent, session or tenant id that cannot be used as a scope
    ├── InferenceError               the model failed while it ran
    │   ├── EngineBusyError          the engine's queue is full
    │   └── DeadlineError            a request's deadline passed before its answer was whole
    ├── StorageError                 a store failed: disk full, damaged, or closed
    ├── GuardrailError               a rail could not be built or run; runs treat it as a block
    └── NetworkRefusedError          something tried to connect to a host that is not allowed

A message says what happened, with which value, and what to do. None of these inherits from `ValueError`, `RuntimeError`
or `OSError`: LangGraph's default retry policy would then never retry them.
"""

from __future__ import annotations

import os

__all__ = [
    "CacheEntryError",
    "CacheKeyError",
    "ContextLengthError",
    "DeadlineError",
    "DocumentError",
    "EngineBusyError",
    "FreeholdError",
    "GuardrailError",
    "InferenceError",
    "MemoryBudgetError",
    "MemoryEntryError",
    "ModelFileError",
    "NetworkRefusedError",
    "ScopeError",
    "SettingsError",
    "StorageError",
    "UserError",
    "WorkspaceError",
    "WorkspaceLockedError",
]


class FreeholdError(Exception):
    """Base of every error that Freehold raises on purpose."""


class UserError(FreeholdError):
    """The caller can mend it; the command line prints the message and exits with 2."""


class SettingsError(UserError):
    """A setting has a value that cannot be used."""


class WorkspaceError(UserError):
    """The workspace folder cannot be opened."""


class WorkspaceLockedError(WorkspaceError):
    """Another process owns the workspace.

    Args:
        folder: The workspace folder.
        pid: The owner's process id, or None where it is not known.
    """

    def __init__(self, folder: object, pid: int | None) -> None:
        mend = "Close that process, or choose another folder with FREEHOLD_HOME."
        if pid == os.getpid():
            mend = "That is this process: close the workspace that is open, or share it."
        owner = f"process {pid}" if pid else "another process"
        super().__init__(f"The workspace {folder} is in use by {owner}. {mend}")
        self.pid = pid


class ModelFileError(UserError):
    """The model file is missing, truncated, or not a GGUF."""


class ContextLengthError(UserError):
    """The prompt does not fit the model's context.

    Args:
        prompt_tokens: Tokens in the prompt.
        context_length: Tokens that the context holds.
    """

    def __init__(self, prompt_tokens: int, context_length: int) -> None:
        super().__init__(
            f"The prompt has {prompt_tokens} tokens and the model's context holds {context_length}. "
            "Shorten the message or load a model with a longer context."
        )
        self.prompt_tokens = prompt_tokens
        self.context_length = context_length


class MemoryBudgetError(UserError):
    """A model does not fit the memory that models may take.

    Args:
        model: The model's name.
        needed: Bytes that it would take.
        available: Bytes that are left of the budget.
        budget: Bytes that models may take together.
    """

    def __init__(self, model: str, needed: int, available: int, budget: int) -> None:
        gib = 2**30
        super().__init__(
            f"The model {model} would take {needed / gib:.2f} GiB and {available / gib:.2f} GiB are left of the budget "
            f"of {budget / gib:.2f} GiB. Choose a smaller model or context, or raise FREEHOLD_MODEL_MEMORY."
        )
        self.needed, self.available, self.budget = needed, available, budget


class DocumentError(UserError):
    """A document, or the folder of documents, cannot be read."""


class MemoryEntryError(UserError):
    """An exported memory cannot be read.

    Args:
        number: Which entry, from 1.
        reason: What is wrong with it.
    """

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"Entry {number} cannot be restored: {reason}. Mend it or leave it out; nothing was stored.")
        self.number, self.reason = number, reason


class CacheEntryError(UserError):
    """No cached answer, or several, have this name; or a run that was not answered from the cache is reported on."""


class CacheKeyError(UserError):
    """An input has no form that a cache could know it by.

    Args:
        where: The part of the input, such as `input['loader']`.
        reason: What is wrong with it.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"{where} {reason}, so the input cannot be the key of a cache. Name the keys of the state that matter "
            "with `keys`, or keep it out of the state."
        )
        self.where = where


class ScopeError(UserError):
    """A user, agent, session or tenant id that cannot be used as a scope."""


class InferenceError(FreeholdError):
    """The model failed while it ran."""


class EngineBusyError(InferenceError):
    """The engine's queue is full.

    Args:
        queued: Requests that wait already.
    """

    def __init__(self, queued: int) -> None:
        super().__init__(f"The inference queue is full: {queued} requests wait. Try again later, or raise its size.")
        self.queued = queued


class DeadlineError(InferenceError):
    """A request's deadline passed before its answer was whole.

    Args:
        deadline: Seconds that the request had.
        text: What was generated until then.
    """

    def __init__(self, deadline: float, text: str) -> None:
        done = f"{len(text)} characters were generated" if text else "nothing was generated"
        super().__init__(f"The deadline of {deadline:g} s passed and {done}. Allow more time, or ask for fewer tokens.")
        self.deadline = deadline
        self.text = text


class StorageError(FreeholdError):
    """A store failed: disk full, damaged, or closed."""


class GuardrailError(FreeholdError):
    """A rail could not be built or run; runs treat it as a block."""


class NetworkRefusedError(FreeholdError):
    """Something tried to connect to a host that is not allowed.

    Args:
        host: The address that was asked for.
        caller: The code that asked, as `file:line`.
    """

    def __init__(self, host: str, caller: str) -> None:
        super().__init__(
            f"{caller} tried to connect to {host}; Freehold allows loopback only. "
            "Add the host to FREEHOLD_ALLOWED_HOSTS if that is what you want."
        )
        self.host = host
        self.caller = caller
