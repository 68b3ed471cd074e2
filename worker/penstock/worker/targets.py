"""How a child process finds a handler's function: by where it was defined."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["resolve", "target_of"]

#: What a script is called in a child, so that its ``if __name__ == "__main__"`` does not run there.
SCRIPT_NAME: Final = "__penstock_main__"


def target_of(function: Callable[..., Any]) -> list[str]:
    """[module, qualified name], or [path of the script, qualified name] for one of a script."""
    module, name = function.__module__, function.__qualname__
    if module != "__main__":
        return [module, name]
    main = sys.modules["__main__"]
    if main.__spec__ is not None:  # Run by `python -m`.
        return [main.__spec__.name, name]
    return [str(Path(main.__file__ or "").resolve()), name]


def resolve(target: list[str]) -> Callable[..., Any]:
    """The function of a target.

    Raises:
        ImportError: its module cannot be imported.
        AttributeError: the module has no such function.
    """
    place, name = target
    found: Any = _script(place) if "/" in place else importlib.import_module(place)
    for part in name.split("."):
        found = getattr(found, part)
    function: Callable[..., Any] = found
    return function


def _script(path: str) -> ModuleType:
    if SCRIPT_NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(SCRIPT_NAME, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        sys.modules[SCRIPT_NAME] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[SCRIPT_NAME]
            raise
    return sys.modules[SCRIPT_NAME]
