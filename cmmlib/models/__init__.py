"""Models as people have them: files, folders, hub ids, adapters, modules and mappings of tensors."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .opening import open_model as open_model
    from .saving import save_model as save_model
    from .source import Model as Model
    from .source import Source as Source
    from .stored_layers import layer_kinds as layer_kinds

_HOMES = {"opening": "open_model", "saving": "save_model", "source": "Model Source", "stored_layers": "layer_kinds"}
__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
