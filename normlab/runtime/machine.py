"""This machine and its software, in words."""

import importlib.metadata
import importlib.util
import os
import pathlib
import platform

import jax


def machine() -> str:
  """The processor, its cores that may be used, and the device of JAX."""
  device = jax.devices()[0].device_kind
  return f'{cpu_name()}, {len(usable_cores())} cores, device {device}'


def versions(*packages: str) -> str:
  """The installed ones of some packages, with their versions."""
  return ', '.join(
    f'{name} {importlib.metadata.version(name)}'
    for name in packages
    if importlib.util.find_spec(name)
  )


def cpu_name() -> str:
  """The processor's name for itself, where the system has it."""
  cpuinfo = pathlib.Path('/proc/cpuinfo')
  lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
  names = (line.partition(':')[2] for line in lines if 'model name' in line)
  return next(names, platform.processor() or platform.machine()).strip()


def usable_cores() -> list[int]:
  """The CPU cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))
