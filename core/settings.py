"""Settings from arguments, `FREEHOLD_*` in the environment, `./freehold.toml` and `<home>/freehold.toml`, in order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ByteSize, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from freehold.errors import SettingsError

__all__ = ["Settings"]

_HOME = "~/.freehold"


class Settings(BaseSettings):
    """Everything that can be chosen about a workspace; each field is `FREEHOLD_<NAME>` in the environment.

    Example:
        >>> Settings.load(home="/tmp/freehold", cache_threshold=0.95).cache_threshold
        0.95
    """

    model_config = SettingsConfigDict(env_prefix="FREEHOLD_", env_ignore_empty=True, extra="forbid", frozen=True)

    home: Path = Path(_HOME)
    """The workspace folder."""
    model: Path | None = None
    """A GGUF file of a language model, or its name in the catalog; None is the demonstration model."""
    embedding_model: Path | None = None
    """A GGUF file of an embedding model, or its name in the catalog; None is all-MiniLM-L6-v2."""
    reranker: Path | None = None
    """A GGUF cross-encoder that orders passages anew, or its name in the catalog; None leaves search's order."""
    verifier: Path | None = None
    """A GGUF cross-encoder that says whether two questions ask the same, or its name; None is the one that ships."""
    model_memory: ByteSize = Field(default=ByteSize(6 * 2**30), ge=1)
    """Bytes that loaded models may take together, such as `6GiB`; at most 80 % of the machine's memory."""
    context_length: int | None = Field(default=None, ge=256, le=1_048_576)
    """Tokens of context; None is the model's own, at most 8,192."""
    threads: int | None = Field(default=None, ge=1, le=256)
    """Threads for llama.cpp; None is one for each core."""
    max_tokens: int = Field(default=512, ge=1)
    """Most tokens in an answer."""
    queue_size: int = Field(default=128, ge=1)
    """Requests that may wait for the language model."""
    slots: int = Field(default=8, ge=1, le=64)
    """Requests that the language model answers together."""
    cache_tokens: int | None = Field(default=None, ge=256)
    """Cells of the cache of keys and values that all requests share; None is up to four contexts, at most 8,192."""
    flash_attention: bool = True
    """Skip the cells of other requests; off, many requests with one long beginning decode faster, all else slower."""
    kv_folder_bytes: ByteSize = Field(default=ByteSize(2**30), ge=0)
    """Bytes on disk for the keys and values of conversations, so that a resumed one starts at once; 0 keeps none."""
    qdrant_url: str | None = None
    """A Qdrant server for documents, memories and the semantic cache; None is embedded Qdrant in the workspace."""
    redis_url: str | None = None
    """A Redis server for cached answers; None is SQLite in the workspace."""
    guardrails: Path | None = None
    """A folder with a NeMo Guardrails configuration; None is the one that ships with Freehold."""
    mask_personal_data: bool = True
    """Mask e-mail addresses, card numbers and the like in the user's messages before anything is stored."""
    passages: int = Field(default=4, ge=1, le=50)
    """Passages that an answer may draw on."""
    passage_threshold: float = Field(default=0.25, ge=0, le=1)
    """Least cosine similarity of a passage to the question."""
    rerank_threshold: float = Field(default=0.1, ge=0, le=1)
    """Least score of a passage, where a reranker gives it one."""
    memories: int = Field(default=5, ge=1, le=50)
    """Memories that an answer may draw on."""
    memory_threshold: float = Field(default=0.2, ge=0, le=1)
    """Least cosine similarity of a memory to the question."""
    memory_tokens: int = Field(default=256, ge=1)
    """Tokens that the memories in a prompt may take together; the best are put in first."""
    cache_strategy: Literal["exact", "threshold", "verified"] = "verified"
    """Who may be served another question's answer: nobody, whoever is near enough, or whom the error bound covers."""
    cache_max_error: float = Field(default=0.02, gt=0, lt=1)
    """Largest share of requests that verified hits may answer wrongly."""
    cache_threshold: float = Field(default=0.95, ge=0, le=1)
    """Least cosine similarity at which the strategy `threshold` serves."""
    cache_scope: Literal["user", "tenant"] = "user"
    """Who shares cached answers: the runs of one user, or all of a tenant's."""
    cache_judge: bool = False
    """Ask the language model for a yes or no before another question's answer is served."""
    cache_ttl_seconds: int = Field(default=7 * 24 * 3600, ge=1)
    """How long a cached answer lives that is never used and whose documents do not change."""
    cache_entries: int = Field(default=10_000, ge=1)
    """Most answers in the cache; the least recently used go first."""
    cache_encryption_key: SecretStr | None = None
    """32 bytes in base64: cached answers and their questions are encrypted with it (AES-GCM)."""
    route_threshold: float = Field(default=0.5, ge=0, le=1)
    """Least cosine similarity to a route's examples at which the route is taken."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts beyond loopback that this process may connect to, separated by commas; `*` is every host."""

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(host.strip() for host in value.split(",") if host.strip()) if isinstance(value, str) else value

    @field_validator("home", "model", "embedding_model", "reranker", "verifier", "guardrails", mode="after")
    @classmethod
    def _expand(cls, value: Path | None) -> Path | None:
        return value.expanduser() if value is not None else None

    @field_validator("model", "embedding_model", "reranker", "verifier", mode="after")
    @classmethod
    def _named(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        """The file of a model that the catalog knows by this name; where nothing is found, its user is told later."""
        if value is None or "home" not in info.data:
            return value
        from freehold.models.catalog import ModelCatalog

        return ModelCatalog(info.data["home"].absolute() / "models").resolve(value)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, `./freehold.toml`, `<home>/freehold.toml`."""
        home = init_settings().get("home") or os.environ.get("FREEHOLD_HOME") or _HOME
        files = [Path("freehold.toml"), Path(home).expanduser() / "freehold.toml"]
        return (init_settings, env_settings, *(TomlConfigSettingsSource(settings_cls, file) for file in files))

    @classmethod
    def load(cls, **values: Any) -> Self:
        """Read the settings; an argument that is None counts as not given.

        Raises:
            SettingsError: A value, or a name in `freehold.toml`, cannot be used.
        """
        try:
            return cls(**{name: value for name, value in values.items() if value is not None})
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, problem['loc']))}={problem.get('input')!r}: {problem['msg']}"
                for problem in error.errors()
            )
            raise SettingsError(f"Settings cannot be used: {problems}.") from error
        except ValueError as error:  # a freehold.toml that is not TOML
            raise SettingsError(f"freehold.toml cannot be read: {error}.") from error
