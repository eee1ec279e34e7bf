"""Signatures for methods that take a typed dict's members as keywords, made when `help` or `inspect` asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from inspect import Signature

F = TypeVar("F", bound="Callable[..., Any]")


def takes(params: str, *more: str) -> Callable[[F], F]:
    """A decorator: the method takes the members of that typed dict of `client.params`, and `more`."""

    def sign(function: F) -> F:
        function.__signature__ = _Signature(params, more, function)  # type: ignore[attr-defined]
        return function

    return sign


class _Signature:
    """Stands for a signature. `inspect` believes what says that its class is Signature, as mocks do."""

    def __init__(self, *parts: Any) -> None:
        self._parts = parts

    @property  # type: ignore[misc]
    def __class__(self) -> type[Signature]:  # type: ignore[override]
        from inspect import Signature

        return Signature

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made(), name)

    def __str__(self) -> str:
        return str(self._made())

    def _made(self) -> Signature:
        from outcrop.client.params import signature

        return signature(*self._parts)
