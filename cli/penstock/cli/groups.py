"""Options that belong together: one parameter of a command, and for its users an option a field."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from inspect import Parameter
from typing import TypeGuard

__all__ = ["Options", "grouped"]


class Options:
    """A group of options. Each field is declared as a parameter would be, or is a group itself.

    No dataclass: to make those would cost each call of the program 5 ms.
    """

    def __init__(self, **values: object) -> None:
        vars(self).update(values)


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Spread those parameters of a command that are groups.

    typer makes an option of each parameter. Those of a group stand in the help where it stands.
    """
    signature = inspect.signature(command)
    parameters = signature.parameters.values()

    @wraps(command)
    def run(**given: object) -> None:
        command(**{each.name: _take(each.annotation, each.name, given) for each in parameters})

    options = list(_spread(parameters))
    vars(run)["__signature__"] = signature.replace(parameters=options)
    run.__annotations__ = {each.name: each.annotation for each in options}
    return run


def _spread(parameters: Iterable[Parameter]) -> Iterator[Parameter]:
    for each in parameters:
        kind = each.annotation
        if _is_group(kind):
            yield from _spread(
                Parameter(
                    name,
                    Parameter.KEYWORD_ONLY,
                    default=getattr(kind, name, Parameter.empty),
                    annotation=annotation,
                )
                for name, annotation in kind.__annotations__.items()
            )
        else:
            yield each


def _take(kind: object, name: str, given: dict[str, object]) -> object:
    if not _is_group(kind):
        return given[name]
    return kind(**{field: _take(of, field, given) for field, of in kind.__annotations__.items()})


def _is_group(kind: object) -> TypeGuard[type[Options]]:
    return isinstance(kind, type) and issubclass(kind, Options)
