"""What a merge method is, and the one table of them.

A method is a pure function of one parameter tensor at a time::

    @method(paper="https://arxiv.org/abs/2203.05482")
    def weight_average(merged, task_vector, ctx):
        return merged + (task_vector - merged) / ctx.t

``merged`` is what the method has accumulated for this parameter so far: zeros before the first model. ``task_vector`` is the
new model's parameter minus the base's. What is returned becomes the next ``merged``. Keyword-only arguments are the
method's hyper-parameters; values are checked against their annotations.

A method may also return ``(merged, {"quantity": number})``. The history then has mean, minimum and maximum of each number
over the parameters that report it.

What is accumulated may be a dict of tensors of any shapes instead. Then the method's ``finish`` turns it into the task
vector. Before the first model ``merged`` is zeros all the same.
"""

from __future__ import annotations

import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from torch import Tensor

from .sources import SAME_RESULTS, code_hash, package_sources, sources_of

Kind = Literal["linear", "convolution", "other", "free"]
"""``linear``: the 2-D weight of a linear layer, shaped (out, in).  ``convolution``: the weight of one, (out, in, k, k).
``free``: a parameter held by a module that has submodules (CLIP's ``class_embedding``), which the published code never
visits.  ``other``: all else."""


Value = Tensor | dict[str, Tensor]
"""What a method accumulates for one parameter."""


@dataclass(frozen=True)
class Context:
    """What a method may know besides the two tensors.

    Attributes:
        t: number of the model being merged, from 1; in ``finish`` and ``summary`` the number of models merged.
        name: the parameter's name, without the ``vision_model.`` prefix; of one that holds several layers with the layer's
            number, as in ``mlp.experts.down_proj[3]``.
        kind: what sort of parameter it is; only a method that declares ``layerwise=True`` is told, others see ``other``.
        mean_norm: mean of the task vectors' norms, each over all parameters; in a step, of the models before this one.
        running_norm: norm of what is accumulated, over all parameters; in a step, as it was before this model.
        survey: what the method's ``survey`` returned for this model.
        reference_compat: whether to do as the published code does where it departs from the paper.
        base: the base's parameter W0, for methods that are defined on weights; not in ``survey``.
    """

    t: int
    name: str = ""
    kind: Kind = "other"
    base: Tensor | None = None
    mean_norm: float = 0.0
    running_norm: float = 0.0
    survey: Any = None
    reference_compat: bool = False


@dataclass(frozen=True)
class Interval:
    """Bounds of a number, as in ``Annotated[float, Interval(0, 1)]``. With ``open`` the lower bound itself is left out."""

    low: float = float("-inf")
    high: float = float("inf")
    open: bool = False

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies within the bounds."""
        return (value > self.low if self.open else value >= self.low) and value <= self.high

    def __str__(self) -> str:
        return f"in {'(' if self.open else '['}{self.low:g}, {self.high:g}]"


@dataclass(frozen=True, eq=False)
class Method:
    """A registered merge method.

    Attributes:
        step: the pure function described at the top of this module.
        paper: link to its source.
        survey: ``survey(pairs, ctx, **params)``, run once per model before its steps, for quantities of the whole model.
            ``pairs`` yields ``(merged, task_vector)`` for every parameter, and can be iterated several times (each reads the
            model; the first checks it too); ``pairs.entries`` tells how many entries there are in all;
            ``pairs.map(function)`` yields ``function(merged, task_vector)`` of each, computed side by side, for an
            ``elementwise`` method perhaps in pieces.
        finish: ``finish(merged, ctx, **params)`` gives the final task vector of one parameter. Without it that is
            ``merged``, which then must be a tensor.
        summary: ``summary(ctx, **params)`` gives numbers about the whole model for the history.
        check: ``check(params, layers)`` raises ValueError where parameters do not go together, or do not fit the model:
            ``layers`` maps names of parameters to their kinds.
        layerwise: whether linear layers are treated differently from the rest, so that kinds must be known.
        convolutions: whether convolutions are told apart too; other methods see ``other``.
        order_free: whether the final model is the same for every order of the models, up to rounding.
        keeps_first: whether merging a single model returns that model.
        separable: whether a parameter's result depends on this parameter of the models alone: there is no ``survey``, and
            neither ``step`` nor ``finish`` reads ``mean_norm`` or ``running_norm``, but for a finish that ``scales``. A
            merge of many models may then go parameter by parameter. With ``reference_compat`` it never does.
        elementwise: whether an entry of what ``step`` gives depends on this entry of its inputs alone, whatever the shape.
        scales: whether ``finish`` multiplies all parameters by one number, which may depend on the norms.
        workspace: memory that a step of a linear weight takes beside its inputs and its result, in multiples of the
            weight; counts for layerwise methods alone.
    """

    name: str
    step: Callable[..., Any]
    paper: str
    survey: Callable[..., Any] | None = None
    finish: Callable[..., Tensor] | None = None
    summary: Callable[..., Mapping[str, float]] | None = None
    check: Callable[[Mapping[str, Any], Mapping[str, Kind]], None] | None = None
    layerwise: bool = False
    convolutions: bool = False
    order_free: bool = False
    keeps_first: bool = False
    separable: bool = False
    elementwise: bool = False
    scales: bool = False
    workspace: float = 40.0

    @property
    def functions(self) -> list[Callable[..., Any]]:
        """Those that decide the results."""
        return [each for each in (self.step, self.survey, self.finish, self.summary) if each is not None]

    @property
    def defaults(self) -> dict[str, Any]:
        """The hyper-parameters with their default values."""
        return {name: parameter.default for name, (parameter, _) in self._known.items()}

    @cached_property
    def _known(self) -> dict[str, tuple[inspect.Parameter, Any]]:
        """The hyper-parameters with their types; a table asks for them thousands of times."""
        hints = typing.get_type_hints(self.step, include_extras=True)
        return {p.name: (p, hints.get(p.name, Any)) for p in _hyper_parameters(self.step)}

    def resolve(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """All hyper-parameters, checked, in canonical types (``1`` for a float becomes ``1.0``) and with defaults filled in.

        Raises:
            ValueError: a hyper-parameter is unknown or missing, or its value is of another type or out of range.
        """
        known = self._known
        unknown = sorted(set(params) - set(known))
        if unknown:
            raise ValueError(f"method {self.name!r} has no parameter {unknown[0]!r}; it takes {', '.join(known) or 'none'}")
        resolved = {}
        for name, (parameter, hint) in known.items():
            if name not in params and parameter.default is inspect.Parameter.empty:
                raise ValueError(f"method {self.name!r} needs a value for its parameter {name!r}")
            value = params.get(name, parameter.default)
            try:
                resolved[name] = _canonical(value, hint)
            except ValueError as error:
                raise ValueError(f"method {self.name!r}, parameter {name!r}: {error}, got {value!r}") from None
        return resolved

    @cached_property
    def source_hash(self) -> str:
        """Hash of the code that decides the method's results; comments and docstrings do not count.

        For a method of cmmlib that is its module and all of this package that it imports, but for this one. For one of the
        user's it is all that its functions use but libraries (`cmmlib.methods.sources`).

        Raises:
            ValueError: Python cannot find the source, as with what is typed into a plain interpreter.
        """
        found = code_hash(_sources(self))
        return SAME_RESULTS.get(found, found)


_OF_THE_MERGER = "base method compute_dtype device reference_compat linear save_every_step revision progress"
RESERVED = frozenset((_OF_THE_MERGER + " apply_step memory hashes dtype whole max_shard_bytes allow_repeat").split())
"""Arguments of `cmmlib.ContinualMerger` and `cmmlib.merge_to`, which no hyper-parameter can be called by."""

_METHODS: dict[str, Method] = {}
_BY_STEP: dict[Callable[..., Any], Method] = {}

LOOKS = "@cmmlib.method above def mine(merged, task_vector, ctx, *, scale: float = 1.0)"
"""What a method looks like, in a line."""


def method(function: Callable[..., Any] | None = None, *, name: str | None = None, paper: str = "", **options: Any) -> Any:
    """Register the step function below as a merge method; see the top of this module.

    Its name then works wherever a method's name does. Registering a name again replaces the method, so that a notebook
    cell can be run twice; but the names that ship with cmmlib are protected.

    Args:
        name: of the method. Default: that of the function.
        paper: link to its source.
        options: other fields of `Method`: ``layerwise=True`` to be told which parameters are linear weights, ``finish``,
            ``survey`` and ``summary`` (functions), ``order_free`` and ``keeps_first`` (promises that save scoring),
            ``separable``, ``elementwise``, ``scales`` and ``workspace`` (promises that save reading and memory).

    Raises:
        ValueError: as in `register`.
    """

    def registered(step: Callable[..., Any]) -> Callable[..., Any]:
        register(Method(name or step.__name__, step, paper, **options))
        return step

    return registered if function is None else registered(function)


def register(new: Method) -> None:
    """Make a method known under its name, as `method` does with the function below it.

    Raises:
        ValueError: a method of cmmlib has this name, the function does not take what a step takes, or the merger has an
            argument that is named as a hyper-parameter.
    """
    if new.name in _METHODS and _is_ours(_METHODS[new.name].step) and not _is_ours(new.step):
        raise ValueError(f"the name {new.name!r} belongs to a method of cmmlib; choose another")
    if new.separable and new.survey:
        raise ValueError(f"method {new.name!r}: a survey sees the whole model, so the method is not separable")
    taken = [p for p in inspect.signature(new.step).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    if sum(p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in taken) != 3:
        raise ValueError(f"{new.name}{inspect.signature(new.step)} is no method; one looks like {LOOKS}")
    for parameter in _hyper_parameters(new.step):
        if parameter.name in RESERVED:
            raise ValueError(f"method {new.name!r}: ContinualMerger takes {parameter.name!r} itself; name it differently")
    _METHODS[new.name] = _BY_STEP[new.step] = new


def _is_ours(step: Callable[..., Any]) -> bool:
    return step.__module__.startswith("cmmlib.methods.")


def _hyper_parameters(step: Callable[..., Any]) -> Iterable[inspect.Parameter]:
    return [p for p in inspect.signature(step).parameters.values() if p.kind is p.KEYWORD_ONLY]


def _canonical(value: Any, hint: Any) -> Any:
    """``value`` in the type that ``hint`` asks for; a ValueError says what was expected where it does not fit."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin is Annotated:
        value = _canonical(value, args[0])
        for bound in args[1:]:
            if isinstance(bound, Interval) and not isinstance(value, str) and not bound.holds(value):
                raise ValueError(f"expected a value {bound}")
        return value
    if origin in (typing.Union, types.UnionType):
        expected = []
        for option in args:
            try:
                return _canonical(value, option)
            except ValueError as error:
                expected.append(str(error).removeprefix("expected "))
        raise ValueError("expected " + " or ".join(expected))
    if origin is Literal:
        if value not in args or isinstance(value, bool):
            raise ValueError("expected " + " or ".join(map(repr, args)))
        return value
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise ValueError("expected a list of names")
        return tuple(_canonical(item, args[0]) for item in value)
    number = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    if hint is float and number:
        return float(value)
    if hint is int and number and value == int(value):
        return int(value)
    if hint in (bool, str) and isinstance(value, hint):
        return value
    noun = {float: "a finite number", int: "a whole number", bool: "true or false", str: "a string"}
    raise ValueError(f"expected {noun.get(hint, hint)}")


def _sources(method: Method) -> list[str]:
    """The sources that `Method.source_hash` covers."""
    if _is_ours(method.step):
        return package_sources(method.step.__module__, without=__name__)
    try:
        return sources_of(method.functions)
    except OSError:
        raise ValueError(
            f"the source of method {method.name!r} cannot be found, so its scores cannot be told from those of another "
            "version; define it in a file or in a notebook cell"
        ) from None
