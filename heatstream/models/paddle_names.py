"""PaddleDetection's names of HigherHRNet's and SWAHR's entries, and the official ones.

Its layers count from 1 and carry their place in their names: ``stage_st3_2`` is module 2 of stage 3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

__all__ = ["official_names"]

Value = TypeVar("Value")

STATISTICS = {"_mean": "running_mean", "_variance": "running_var"}


def official_names(state: Mapping[str, Value]) -> dict[str, Value]:
    """The entries under their official names, where these are Paddle's of HigherHRNet; as they are otherwise."""
    if not any(key.startswith("backbone.conv_layer1_1.") for key in state):
        return dict(state)
    return {_official(key): value for key, value in state.items()}


def _official(key: str) -> str:
    """One name; what no rule knows stays as it is."""
    module, _, last = key.rpartition(".")
    last = STATISTICS.get(last, last)
    for pattern, name in _RULES:
        match = re.fullmatch(pattern, module)
        if match is not None:
            return f"{name(match)}.{last}"
    return f"{module}.{last}"


def _place(match: re.Match[str], group: str) -> int:
    """A number that counts from 1, from 0."""
    return int(match[group]) - 1


def _layer(kind: str) -> int:
    """Convolution and norm as the two members of a sequence."""
    return {"conv": 0, "norm": 1}[kind]


def _named(kind: str) -> str:
    """Convolution and norm as the beginnings of their names in a block."""
    return {"conv": "conv", "norm": "bn"}[kind]


_KIND = r"(?P<kind>conv|norm)"


def _transition(match: re.Match[str]) -> str:
    stage, branch = int(match["t"]), _place(match, "l")
    fresh = ".0" if branch == stage else ""  # the branch that this transition begins
    return f"transition{stage}.{branch}{fresh}.{_layer(match['kind'])}"


def _fuse(match: re.Match[str]) -> str:
    step = f".{_place(match, 'k')}" if match["k"] else ""
    place = f"stage{match['s']}.{_place(match, 'm')}.fuse_layers.{_place(match, 'i')}.{_place(match, 'j')}"
    return f"{place}{step}.{_layer(match['kind'])}"


_RULES = (
    (rf"backbone\.conv_layer1_(?P<n>[12])\.{_KIND}", lambda m: f"{_named(m['kind'])}{m['n']}"),
    (
        rf"backbone\.la1\.\w+?_(?P<b>\d+)\.conv(?P<n>\d)\.{_KIND}",
        lambda m: f"layer1.{_place(m, 'b')}.{_named(m['kind'])}{m['n']}",
    ),
    (
        rf"backbone\.la1\.\w+?_(?P<b>\d+)\.conv_down\.{_KIND}",
        lambda m: f"layer1.{_place(m, 'b')}.downsample.{_layer(m['kind'])}",
    ),
    (rf"backbone\.tr\d\.transition_tr(?P<t>\d)_layer_(?P<l>\d)\.{_KIND}", _transition),
    (
        rf"backbone\.st\d\.stage_st(?P<s>\d)_(?P<m>\d)\.branches_func\."
        rf"bb_\w+?_branch_layer_(?P<l>\d)_(?P<b>\d)\.conv(?P<n>\d)\.{_KIND}",
        lambda m: (
            f"stage{m['s']}.{_place(m, 'm')}.branches.{_place(m, 'l')}.{_place(m, 'b')}.{_named(m['kind'])}{m['n']}"
        ),
    ),
    (
        rf"backbone\.st\d\.stage_st(?P<s>\d)_(?P<m>\d)\.fuse_func\."
        rf"residual_\w+?_layer_(?P<i>\d)_(?P<j>\d)(?:_(?P<k>\d))?\.{_KIND}",
        _fuse,
    ),
    (r"hrhrnet_head\.conv(?P<n>[12])", lambda m: f"final_layers.{_place(m, 'n')}"),
    (r"hrhrnet_head\.deconv\.(?P<n>[01])", lambda m: f"deconv_layers.0.0.{m['n']}"),
    (
        rf"hrhrnet_head\.blocks\.(?P<b>\d)\.conv(?P<n>\d)\.{_KIND}",
        lambda m: f"deconv_layers.0.{int(m['b']) + 1}.0.{_named(m['kind'])}{m['n']}",
    ),
    (r"hrhrnet_head\.scalelayer(?P<h>[01])\.(?P<n>\d)", lambda m: f"conv_scale_layers.{m['h']}.{m['n']}"),
)
