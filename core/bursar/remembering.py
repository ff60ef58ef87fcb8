"""Remember what a pure function answered for the very same value: within one step the rules ask for it several times."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Final, ParamSpec, TypeVar

__all__ = ["remembered"]

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")

_LIMIT: Final = 512


def remembered(function: Callable[Concatenate[A, P], T]) -> Callable[Concatenate[A, P], T]:
    """Answer again what *function* answered for the same (not only an equal) first argument and equal others.

    For pure functions of frozen values only. Comparing whole dossiers would cost more than computing the answer.
    """
    answers: dict[object, tuple[A, T]] = {}

    @wraps(function)
    def answer(value: A, /, *args: P.args, **kwargs: P.kwargs) -> T:
        key = (id(value), args, *kwargs.items())
        found = answers.get(key)
        # The value is kept beside its answer, so nothing else can have its id meanwhile.
        if found is not None and found[0] is value:
            return found[1]
        result = function(value, *args, **kwargs)
        if len(answers) >= _LIMIT:
            answers.clear()
        answers[key] = (value, result)
        return result

    return answer
