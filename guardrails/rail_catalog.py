"""NeMo Guardrails' catalog of rails with Freehold's own beside it. Importing it imports nemoguardrails."""

from __future__ import annotations

from collections.abc import Iterable

from nemoguardrails.manifests import (
    ActionRef,
    Binding,
    RailActions,
    RailCatalog,
    RailDirection,
    RailManifest,
    RailManifestRecord,
    RailMetadata,
    RailSpec,
    RailSurface,
    TransformTarget,
    default_rail_catalog,
)

from freehold.errors import GuardrailError
from freehold.guardrails.rail_actions import EMBEDDINGS

__all__ = ["KNOWN_ATTACKS", "SETTINGS_OF", "rail_catalog"]

KNOWN_ATTACKS = "known attacks check input"
"""The flow that needs an embedder."""

SETTINGS_OF = {
    "mask personal data on input": "personal_data",
    "mask personal data on output": "personal_data",
    KNOWN_ATTACKS: "known_attacks",
}
"""The part of `custom_data.freehold` that each of Freehold's flows needs."""

_MASK = ActionRef(name="freehold_mask_personal_data", target="freehold.guardrails.rail_actions:mask_personal_data")
_ATTACKS = ActionRef(name="freehold_check_known_attacks", target="freehold.guardrails.rail_actions:check_known_attacks")

_OWN = (
    RailManifest(
        name="freehold_personal_data",
        metadata=RailMetadata(display_name="Personal data", description="Masks personal data and secrets by pattern."),
        spec=RailSpec(
            actions=RailActions(refs=(_MASK,)),
            surfaces=(
                RailSurface(
                    name="mask personal data on input",
                    direction=RailDirection.INPUT,
                    action=_MASK,
                    bindings=(Binding.literal("source", "input"), Binding.context("text", "user_message")),
                    transform_target=TransformTarget.USER_MESSAGE,
                ),
                RailSurface(
                    name="mask personal data on output",
                    direction=RailDirection.OUTPUT,
                    action=_MASK,
                    bindings=(Binding.literal("source", "output"), Binding.context("text", "bot_message")),
                    transform_target=TransformTarget.BOT_MESSAGE,
                ),
            ),
        ),
    ),
    RailManifest(
        name="freehold_known_attacks",
        metadata=RailMetadata(
            display_name="Known attacks", description="Blocks what means the same as a known attack."
        ),
        spec=RailSpec(
            actions=RailActions(refs=(_ATTACKS,)),
            surfaces=(
                RailSurface(
                    name=KNOWN_ATTACKS,
                    direction=RailDirection.INPUT,
                    action=_ATTACKS,
                    bindings=(Binding.context("text", "user_message"), Binding.model("model_name", EMBEDDINGS)),
                ),
            ),
        ),
    ),
)


def rail_catalog(manifests: Iterable[RailManifest] = ()) -> RailCatalog:
    """NeMo's built-in rails, Freehold's, and the caller's.

    Raises:
        GuardrailError: Two manifests claim the same name, flow or action.
    """
    records = list(default_rail_catalog().records.values())
    records += [RailManifestRecord(manifest=manifest, source="freehold") for manifest in _OWN]
    records += [RailManifestRecord(manifest=manifest, source="caller") for manifest in manifests]
    try:
        return RailCatalog(records)
    except ValueError as error:
        raise GuardrailError(f"The guardrail manifests clash: {error}") from error
