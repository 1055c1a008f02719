"""Models as people have them: files, folders, hub ids, adapters, modules and mappings of tensors."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .architecture import layer_kinds as layer_kinds
    from .opening import open_model as open_model
    from .saving import save_model as save_model
    from .source import Model as Model
    from .source import Source as Source

_HOMES = {"architecture": "layer_kinds", "opening": "open_model", "saving": "save_model", "source": "Model Source"}
__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
