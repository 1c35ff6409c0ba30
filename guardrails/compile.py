"""From a configuration's flows to rails that run; everything that would fail open or fail later is refused here.

`compile_rail` is semi-private in nemoguardrails: the version is pinned, and the tests cover what is used of it.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any

from nemoguardrails import RailsConfig
from nemoguardrails.guardrails.compiled_rail import CompiledRail, RailCompilationError, RailDependencies, compile_rail
from nemoguardrails.manifests import (
    RailCatalog,
    RailDirection,
    RailManifest,
    parse_configured_surface,
    resolve_import_ref,
)

from freehold.errors import GuardrailError
from freehold.guardrails.known_attacks import KnownAttacks
from freehold.guardrails.rail_actions import EMBEDDINGS
from freehold.guardrails.rail_catalog import KNOWN_ATTACKS, SETTINGS_OF, rail_catalog
from freehold.guardrails.rails_config import configured_flows

__all__ = ["compile_flows"]

_logger = logging.getLogger(__name__)


class _WithholdDetails(logging.Filter):
    """Keep the message of a rail's exception out of the log: it may quote the text that was checked."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.args:
            record.msg = "A rail failed; the details are withheld, because they may quote the text that was checked."
            record.args = ()
        record.exc_info = record.exc_text = None
        return True


_WITHHOLD = _WithholdDetails()


def compile_flows(
    config: RailsConfig,
    raw: Mapping[str, Any],
    manifests: Iterable[RailManifest],
    *,
    attacks: KnownAttacks | None,
    packaged: bool,
) -> tuple[tuple[CompiledRail, ...], tuple[CompiledRail, ...]]:
    """Compile the input and the output rails.

    Args:
        config: NeMo's configuration.
        raw: What the configuration files hold.
        manifests: The caller's own rails.
        attacks: Examples of attacks; None where there is no embedder.
        packaged: The configuration is the packaged one, which does without the rail of known attacks if it must.

    Raises:
        GuardrailError: A flow is unknown, lacks its configuration or a dependency, or asks a model or a remote service.
    """
    if os.environ.get("NEMO_GUARDRAILS_NO_USAGE_STATS") != "1":
        raise GuardrailError("NEMO_GUARDRAILS_NO_USAGE_STATS is no longer 1; leave it as `import freehold` sets it.")
    logging.getLogger("nemoguardrails.guardrails.rail_guard").addFilter(_WITHHOLD)
    catalog = rail_catalog(manifests)
    dependencies = RailDependencies(
        llms={} if attacks is None else {EMBEDDINGS: attacks}, llm_task_manager=None, config=config
    )
    compiled = []
    for direction in (RailDirection.INPUT, RailDirection.OUTPUT):
        flows = configured_flows(raw, direction.value)
        if packaged and attacks is None and KNOWN_ATTACKS in flows:
            flows = tuple(flow for flow in flows if flow != KNOWN_ATTACKS)
            _logger.info("Without an embedder the rail %r is left out.", KNOWN_ATTACKS)
        compiled.append(tuple(_compile(flow, direction, dependencies, catalog, raw) for flow in flows))
    return compiled[0], compiled[1]


def _compile(
    flow: Any, direction: RailDirection, dependencies: RailDependencies, catalog: RailCatalog, raw: Mapping[str, Any]
) -> CompiledRail:
    if not isinstance(flow, str):
        raise GuardrailError(f"The {direction.value} rail {flow!r} must be the name of a flow.")
    try:
        name, _ = parse_configured_surface(flow)
    except ValueError as error:
        raise GuardrailError(f"The {direction.value} rail {flow!r} is not a flow's name: {error}") from error
    if name == KNOWN_ATTACKS and not dependencies.llms:
        raise GuardrailError(
            f"The rail {name!r} needs an embedder and examples: give Rails(embedder=...) and list "
            "`custom_data.freehold.known_attacks`, or remove the rail."
        )
    surface = catalog.surfaces().get((direction, name))
    if surface is not None:
        owner = next(manifest for manifest in catalog.manifests.values() if surface in manifest.surfaces)
        _refuse_missing_config(flow, direction, owner, raw)
        _refuse_outside_help(flow, owner)
    try:
        rail = compile_rail(flow, direction, dependencies, catalog=catalog)
    except RailCompilationError as error:
        raise GuardrailError(f"The {direction.value} rail {flow!r} cannot run: {error}") from error
    parameters = inspect.signature(resolve_import_ref(rail.surface.action)).parameters
    if "llm" in parameters or ("llms" in parameters and name != KNOWN_ATTACKS):
        raise GuardrailError(
            f"The {direction.value} rail {flow!r} asks a language model, and Rails runs rails without one. Remove "
            "it, or run it with nemoguardrails.LLMRails."
        )
    return rail


def _refuse_missing_config(flow: str, direction: RailDirection, owner: RailManifest, raw: Mapping[str, Any]) -> None:
    """Refuse a rail whose configuration is not written down: NeMo's rails then let everything pass."""
    name = parse_configured_surface(flow)[0]
    if name in SETTINGS_OF:
        key = f"custom_data.freehold.{SETTINGS_OF[name]}"
        section = ((raw.get("custom_data") or {}).get("freehold") or {}).get(SETTINGS_OF[name])
    elif owner.config_schema is not None:
        key = f"rails.config.{owner.config_schema.key}"
        section = ((raw.get("rails") or {}).get("config") or {}).get(owner.config_schema.key)
        if owner.name == "regex":
            key = f"{key}.{direction.value}.patterns"
            section = ((section or {}).get(direction.value) or {}).get("patterns")
        elif owner.name == "sensitive_data_detection":
            key = f"{key}.{direction.value}.entities"
            section = ((section or {}).get(direction.value) or {}).get("entities")
    else:
        return
    if section is None or section == []:
        raise GuardrailError(
            f"The {direction.value} rail {flow!r} has no configuration and would let everything pass; set `{key}`."
        )


def _refuse_outside_help(flow: str, owner: RailManifest) -> None:
    if owner.privacy.remote_services or any(service.required for service in owner.requirements.services):
        raise GuardrailError(
            f"The rail {flow!r} sends text to a service outside this process ({owner.name}); remove it. "
            "Freehold's rails stay on the machine."
        )
