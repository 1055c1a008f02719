"""The names and layouts that transformers gives one model: on disk, on older disks, and in memory.

transformers 5 renames parameters as it loads them, and stacks, fuses or splits some.  Nothing of that is imitated here:
names are resolved and tensors converted by transformers' own mapping, for one group of tensors at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import cached_property
from threading import Lock
from typing import Any, NamedTuple

from torch import Tensor

from .architecture import Architecture


class Slot(NamedTuple):
    """What a stored tensor is for, whatever it is called.

    Attributes:
        target: the parameter in memory that it becomes or is a part of; of several the first.
        pattern: of the converter that it goes through; None where it is only renamed.
        number: its place among the tensors of this pattern (the expert's number, say).
    """

    target: str
    pattern: str | None = None
    number: int = 0


class Conversion:
    """The mapping between names on disk and parameters in memory of one architecture."""

    def __init__(self, architecture: Architecture):
        self.module: Any = architecture.module
        self.known = hasattr(self.module, "base_model_prefix")  # a model of transformers

    @cached_property
    def _transforms(self) -> tuple[list[Any], list[Any]]:
        """Renamings and converters."""
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter, WeightRenaming

        found = get_model_conversion_mapping(self.module)
        kinds = WeightRenaming, WeightConverter
        renamings, converters = ([each for each in found if isinstance(each, kind)] for kind in kinds)
        return renamings, converters

    @cached_property
    def _in_memory(self) -> dict[str, Tensor]:
        return {name: tensor.to("meta") for name, tensor in self.module.state_dict().items()}

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a parameter in memory."""
        return tuple(self._in_memory[name].shape)

    def slots(self, names: Iterable[str]) -> dict[str, Slot]:
        """The slot of every name, on disk or in memory; names that the architecture does not know keep their own."""
        names = list(names)
        if not self.known:
            return {name: Slot(name) for name in names}
        from transformers.core_model_loading import dot_natural_key, rename_source_key

        renamings, converters = deepcopy(self._transforms)  # some remember what they have seen
        prefix, memory = self.module.base_model_prefix, self._in_memory
        slots: dict[str, Slot] = {}
        counts: dict[tuple[str, str | None], int] = {}
        for name in sorted(names, key=dot_natural_key):
            target, pattern = rename_source_key(name, renamings, converters, prefix, memory)
            if target not in memory and name in memory:  # as transformers does: it is in memory's form already
                target, pattern = rename_source_key(name, [], [], prefix, memory)
            if target not in memory and pattern is None:
                target = name
            number = counts.get((target, pattern), 0) if pattern else 0
            counts[target, pattern] = number + 1
            slots[name] = Slot(target, pattern, number)
        return slots

    def members(self, slot: Slot) -> list[str]:
        """The parameters in memory that the tensors of a converter become, the slot's target first."""
        if slot.pattern is None:
            return [slot.target]
        patterns = self.converter(slot.pattern).target_patterns
        return [slot.target.replace(patterns[0], pattern) for pattern in patterns]

    def converter(self, pattern: str) -> Any:
        """transformers' converter that has this pattern among its sources."""
        return next(each for each in self._transforms[1] if pattern in each.source_patterns)

    def to_memory(self, target: str, parts: Mapping[Slot, Tensor]) -> dict[str, Tensor]:
        """Parameters in memory out of all stored tensors whose slots have this ``target``."""
        pattern = next(slot.pattern for slot in parts if slot.pattern is not None)
        converter = deepcopy(self.converter(pattern))
        for slot in sorted(parts, key=lambda slot: slot.number):
            converter.add_tensor(target, str(slot), slot.pattern, parts[slot])
        return self._run(converter, target)

    def to_disk(self, pattern: str, memory: Mapping[str, Tensor]) -> dict[Slot, Tensor]:
        """Stored tensors by slot, out of all parameters in memory that the converter of ``pattern`` makes of them."""
        from transformers.core_model_loading import apply_converters, apply_renamings

        renamings, _ = self._transforms
        back = self.converter(pattern).reverse_transform()
        first = ""
        for name, tensor in memory.items():
            renamed, source = apply_converters(name, [back])
            back.add_tensor(renamed, name, source, tensor)
            first = first or renamed
        reverse = [each.reverse_transform() for each in reversed(renamings) if type(each).__name__ != "PrefixChange"]
        made = {apply_renamings(name, reverse): tensor for name, tensor in self._run(back, first).items()}
        return {slot: made[name] for name, slot in self.slots(made).items()}

    def _run(self, transform: Any, first: str) -> dict[str, Tensor]:
        made = transform.convert(first, model=self.module, config=self.module.config)
        return {name: tensor[0] if isinstance(tensor, list) else tensor for name, tensor in made.items()}


def saved_form(architecture: Architecture, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under the names and in the layout of ``save_pretrained``, out of a module's own."""
    from transformers.core_model_loading import revert_weight_conversion

    module: Any = architecture.module
    return dict(revert_weight_conversion(module, dict(tensors)))


Read = Callable[[str], Tensor]


class Regrouped:
    """Reads tensors of one layout out of another, a group at a time.

    The last group is kept, as its tensors are asked for one after the other, from any thread.

    Args:
        conversion: of the architecture.
        stored: slot → own name of every tensor that there is.
        read: gives the tensor of an own name.
    """

    def __init__(self, conversion: Conversion, stored: Mapping[Slot, str], read: Read):
        self.conversion, self.stored, self.read = conversion, stored, read
        self._last: tuple[object, dict[Slot, Tensor]] = (None, {})
        self._one_at_a_time = Lock()
        parts: dict[str, list[Slot]] = {}  # first parameter in memory → the slots of the tensors that make it
        for slot in stored:
            if slot.pattern is not None:
                parts.setdefault(slot.target, []).append(slot)
        # parameter in memory → the slots of the tensors that make it and what goes with it
        self._parts = {name: slots for slots in parts.values() for name in conversion.members(slots[0])}

    def sources(self, slot: Slot) -> list[str]:
        """Own names of all tensors that the tensor of ``slot`` is made of; none where some are missing."""
        if slot.pattern is None:
            return [self.stored[part] for part in self._parts.get(slot.target, ())]
        members = [Slot(member) for member in self.conversion.members(slot)]
        return [self.stored[member] for member in members] if all(member in self.stored for member in members) else []

    def __call__(self, slot: Slot) -> Tensor:
        """The tensor of a slot whose `sources` are there."""
        group = (slot.target, slot.pattern)
        with self._one_at_a_time:
            if self._last[0] != group or slot not in self._last[1]:
                self._last = group, self._made(slot)
            return self._last[1][slot]

    def _made(self, slot: Slot) -> dict[Slot, Tensor]:
        if slot.pattern is not None:
            memory = {member: self.read(self.stored[Slot(member)]) for member in self.conversion.members(slot)}
            return self.conversion.to_disk(slot.pattern, memory)
        parts = self._parts[slot.target]
        made = self.conversion.to_memory(parts[0].target, {part: self.read(self.stored[part]) for part in parts})
        return {Slot(name): tensor for name, tensor in made.items()}
