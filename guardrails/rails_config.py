"""A NeMo Guardrails configuration folder, read strictly: what a rail would silently ignore is refused here.

NeMo ignores keys that it does not know, leaves rails without their configuration open, runs Python files that it finds,
and skips files that a `.railsignore` in the working directory names. This reader takes the YAML files of one folder,
and nothing else.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from freehold.errors import GuardrailError

if TYPE_CHECKING:
    from nemoguardrails import RailsConfig
    from pydantic import BaseModel

__all__ = ["DEFAULT_CONFIG", "configured_flows", "load_config"]

DEFAULT_CONFIG = Path(__file__).parent / "config"
"""The folder of the configuration that ships in the package."""

_TOP_LEVEL = ("colang_version", "custom_data", "models", "rails")
_SECTIONS = ("config", "input", "output")


def load_config(folder: Path) -> tuple[RailsConfig, dict[str, Any]]:
    """Read a configuration folder, or one YAML file.

    Returns:
        NeMo's configuration, and the mapping that the files hold, which says what was written and what is a default.

    Raises:
        GuardrailError: The folder or a file cannot be read, a key is not known, or something in it would not be run:
            Colang files, dialog and retrieval rails, Python files, parallel rails.
    """
    raw = _read(folder)
    from nemoguardrails import RailsConfig
    from pydantic import ValidationError

    _check_top_level(raw, folder)
    if unknown := list(_unknown_keys(RailsConfig, raw, "")):
        raise GuardrailError(f"Unknown in the guardrail configuration {folder}: {'; '.join(unknown)}.")
    try:
        with warnings.catch_warnings():
            # NeMo warns of a deprecated field whenever it reads that field itself, also where nobody has set it.
            warnings.simplefilter("ignore", DeprecationWarning)
            config = RailsConfig.model_validate({"models": [], **raw})
    except (ValidationError, ValueError, TypeError) as error:
        raise GuardrailError(f"The guardrail configuration {folder} is not valid: {error}") from error
    return config, raw


def configured_flows(raw: Mapping[str, Any], direction: str) -> tuple[str, ...]:
    """The flows that a configuration lists under `rails.input` or `rails.output`, in order."""
    section = (raw.get("rails") or {}).get(direction) or {}
    return tuple(section.get("flows") or ())


def _read(folder: Path) -> dict[str, Any]:
    import yaml

    if folder.is_file():
        files = [folder]
    elif folder.is_dir():
        _refuse_code(folder)
        files = sorted(path for path in folder.iterdir() if path.suffix in (".yml", ".yaml"))
    else:
        raise GuardrailError(f"There is no guardrail configuration at {folder}; give a folder that holds a config.yml.")
    if not files:
        raise GuardrailError(f"The guardrail configuration {folder} holds no YAML file; put a config.yml into it.")
    merged: dict[str, Any] = {}
    for file in files:
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise GuardrailError(f"The guardrail configuration file {file} cannot be read: {error}") from error
        if not isinstance(content or {}, dict):
            raise GuardrailError(
                f"The guardrail configuration file {file} must hold a mapping, not {type(content).__name__}."
            )
        _merge(merged, content or {}, file, "")
    return merged


def _refuse_code(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".co":
            raise GuardrailError(
                f"{path} is a Colang flow, which needs NeMo's dialog runtime; Rails runs rails from NeMo's library and "
                "rails given as manifests. Remove the file, or use nemoguardrails.LLMRails for dialog."
            )
        if path.suffix == ".py":
            raise GuardrailError(
                f"{path} would run code that a configuration folder brings along. Remove it, and hand custom rails "
                "over as Rails(manifests=[...])."
            )


def _merge(into: dict[str, Any], more: dict[str, Any], file: Path, path: str) -> None:
    for key, value in more.items():
        if key in into and isinstance(into[key], dict) and isinstance(value, dict):
            _merge(into[key], value, file, f"{path}{key}.")
        elif key in into and into[key] != value:
            raise GuardrailError(
                f"{file} sets {path}{key}, which another file of the folder sets differently; keep one."
            )
        else:
            into[key] = value


def _check_top_level(raw: Mapping[str, Any], folder: Path) -> None:
    from nemoguardrails import RailsConfig

    unused = sorted(key for key in raw if key in RailsConfig.model_fields and key not in _TOP_LEVEL)
    rails = raw.get("rails") or {}
    if not isinstance(rails, dict):
        raise GuardrailError(f"`rails` in {folder} must be a mapping.")
    unused += sorted(
        f"rails.{key}" for key in rails if key in ("retrieval", "dialog", "actions", "tool_input", "tool_output")
    )
    for direction in ("input", "output"):
        section = rails.get(direction) or {}
        if not isinstance(section, dict) or not isinstance(section.get("flows") or [], list):
            raise GuardrailError(f"`rails.{direction}` in {folder} must be a mapping with a list `flows`.")
        unused += [f"rails.{direction}.{key}" for key in section if key != "flows" and section[key]]
    if raw.get("models"):
        unused.append("models")
    if raw.get("colang_version", "1.0") != "1.0":
        unused.append("colang_version")
    if unused:
        raise GuardrailError(
            f"{folder} sets {', '.join(unused)}, which Rails does not run: it runs input and output rails in turn, "
            "without dialog and without a language model. Remove the setting, or use nemoguardrails.LLMRails."
        )


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _unknown_keys(model: type[BaseModel], raw: Any, path: str) -> Iterator[str]:
    """Keys of a mapping that a pydantic model would drop without a word, each with the nearest one that exists."""
    if not isinstance(raw, Mapping):
        return
    names = {field.alias or name: field for name, field in model.model_fields.items()}
    if not path:
        allowed = [name for name in names if name in _TOP_LEVEL]
    elif path == "rails.":
        allowed = list(_SECTIONS)
    else:
        allowed = list(names)
    for key, value in raw.items():
        if key not in names:
            near = difflib.get_close_matches(str(key), allowed, n=1)
            yield f"`{path}{key}`" + (f" (did you mean `{near[0]}`?)" if near else f" (known: {', '.join(allowed)})")
            continue
        models = _models_in(names[key].annotation)
        parts = value if isinstance(value, list) else [value]
        for part in parts:
            found = [list(_unknown_keys(candidate, part, f"{path}{key}.")) for candidate in models]
            yield from min(found, key=len, default=[])
