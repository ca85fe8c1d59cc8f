"""Calls of modules, seen or replaced while a model runs."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from flax import linen as nn

# Called as replacement(module, call, *args, **kwargs) in place of
# call(*args, **kwargs), and returns what that would.
Replacement = Callable[..., Any]


@contextlib.contextmanager
def replaced(replacement: Replacement) -> Iterator[None]:
  """Every call of a module in here goes through the replacement.

  That of a class to its base is a part of its own call, and does not.
  """
  inside: list[nn.Module] = []

  def interceptor(
    call: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: nn.module.InterceptorContext,
  ) -> Any:
    module = context.module
    to_base = bool(inside) and inside[-1] is module
    if to_base or context.method_name != '__call__':
      return call(*args, **kwargs)
    inside.append(module)
    try:
      return replacement(module, call, *args, **kwargs)
    finally:
      inside.pop()

  with nn.intercept_methods(interceptor):
    yield
