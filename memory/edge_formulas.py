"""Formulas that rank again what prefetches found, as qdrant-edge takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qdrant_edge as edge
from qdrant_client.http import models

from freehold.memory.edge_filters import to_condition, to_geo_point
from freehold.memory.edge_models import to_payload

__all__ = ["to_formula"]

_X = edge.Expression


def _decay(kind: edge.DecayKind, params: models.DecayParamsExpression) -> Any:
    target = None if params.target is None else _to_expression(params.target)
    return _X.Decay(kind, _to_expression(params.x), target, params.midpoint, params.scale)


_EXPRESSIONS: dict[type, Callable[[Any], Any]] = {
    float: _X.Constant,
    int: lambda e: _X.Constant(float(e)),
    str: _X.Variable,
    models.GeoDistance: lambda e: _X.GeoDistance(to_geo_point(e.geo_distance.origin), e.geo_distance.to),
    models.DatetimeExpression: lambda e: _X.Datetime(e.datetime),
    models.DatetimeKeyExpression: lambda e: _X.DatetimeKey(e.datetime_key),
    models.MultExpression: lambda e: _X.Mult([_to_expression(one) for one in e.mult]),
    models.SumExpression: lambda e: _X.Sum([_to_expression(one) for one in e.sum]),
    models.MaxExpression: lambda e: _X.Max([_to_expression(one) for one in e.max]),
    models.MinExpression: lambda e: _X.Min([_to_expression(one) for one in e.min]),
    models.NegExpression: lambda e: _X.Neg(_to_expression(e.neg)),
    models.AbsExpression: lambda e: _X.Abs(_to_expression(e.abs)),
    models.DivExpression: lambda e: _X.Div(
        _to_expression(e.div.left), _to_expression(e.div.right), e.div.by_zero_default
    ),
    models.SqrtExpression: lambda e: _X.Sqrt(_to_expression(e.sqrt)),
    models.PowExpression: lambda e: _X.Pow(_to_expression(e.pow.base), _to_expression(e.pow.exponent)),
    models.ExpExpression: lambda e: _X.Exp(_to_expression(e.exp)),
    models.Log10Expression: lambda e: _X.Log10(_to_expression(e.log10)),
    models.LnExpression: lambda e: _X.Ln(_to_expression(e.ln)),
    models.AcoshExpression: lambda e: _X.Acosh(_to_expression(e.acosh)),
    models.LinDecayExpression: lambda e: _decay(edge.DecayKind.Lin, e.lin_decay),
    models.ExpDecayExpression: lambda e: _decay(edge.DecayKind.Exp, e.exp_decay),
    models.GaussDecayExpression: lambda e: _decay(edge.DecayKind.Gauss, e.gauss_decay),
}


def _to_expression(value: Any) -> Any:
    translate = _EXPRESSIONS.get(type(value))
    return _X.Condition(to_condition(value)) if translate is None else translate(value)


def to_formula(query: models.FormulaQuery) -> edge.Formula:
    """A formula with the defaults of its variables."""
    return edge.Formula(_to_expression(query.formula), to_payload(query.defaults))
