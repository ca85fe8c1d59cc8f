"""Shared by the scripts: flags, and errors as one line with an exit status."""

import math
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

# The checkout of this script, whichever the environment was made for.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
OURS = ('normlab', 'configs', 'experiments', 'benchmarks')


def missing_line(error: ModuleNotFoundError) -> str:
  """The line of a missing module; no extra has those of this checkout."""
  if error.name and error.name.split('.')[0] in OURS:
    return str(error)
  return f"{error}; the scripts need the extra lab: pip install -e '.[lab]'"


try:
  import ml_collections
  from absl import flags

  from normlab import errors, records
  from normlab.commands import config_files
  from normlab.runtime import interruption
except ModuleNotFoundError as missing:
  sys.exit(f'{os.path.basename(sys.argv[0])}: {missing_line(missing)}')

FLAGS = flags.FLAGS
INPUT_ERROR, USAGE_ERROR, INTERRUPTED = 1, 2, 130
MULTI_HOST = ('multi_host', 'coordinator', 'num_processes', 'process_id')
RUNNERS = ('vectorized', 'processes', 'one_process', 'ray')
RUNNER_OPTIONS = ('processes', 'address', 'num_cpus', 'num_gpus')


def run(
  main: Callable[..., int | None],
  argv: Sequence[str],
  *,
  arguments: Sequence[str] = (),
  required: Sequence[str] = (),
) -> int:
  """Parses the flags, runs `main`, and returns the exit status.

  Args:
    main: is given the positional arguments; behind them, with --config, path
      and text of each --config.FIELD=VALUE. Returns an exit status or None.
    arguments: the names of the positional arguments.
    required: the names of the flags that must be given.

  Returns:
    0, or what `main` returned; 1 for input that cannot be used and 2 for a
    wrong command line, with one line per problem on standard error; 75 for runs
    that were interrupted and can be continued, 130 after Ctrl-C.
  """
  # Compiled programs are kept between runs, and shared by processes.
  cache = os.path.join(os.path.expanduser('~'), '.cache', 'normlab', 'xla')
  os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', cache)
  # Also those that compile in tenths of a second: a start has a dozen of them.
  os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
  if {'--help', '-h', '--helpfull'} & {*argv}:
    print(sys.modules['__main__'].__doc__)
    # The flags of the script, and those that scripts share.
    print(FLAGS.main_module_help(), FLAGS.module_help(__name__), sep='\n')
    return 0
  try:
    return main(*parse(argv, arguments, required)) or 0
  except flags.Error as error:
    return fail(USAGE_ERROR, str(error).removeprefix('ERROR:: '))
  except interruption.InterruptedSweep as error:
    return fail(interruption.STATUS, error)
  except KeyboardInterrupt:
    return fail(INTERRUPTED, 'interrupted')
  except errors.ConfigError as error:
    return fail(INPUT_ERROR, *error.problems)
  except ModuleNotFoundError as error:
    return fail(INPUT_ERROR, missing_line(error))
  except records.RecordError as error:
    return fail(INPUT_ERROR, error)


def fail(status: int, *problems: object) -> int:
  """Prints one line per problem, and returns the status."""
  for problem in problems:
    line = ' '.join(str(problem).split())
    print(f'{os.path.basename(sys.argv[0])}: {line}', file=sys.stderr)
  return status


def define_multi_host_flags() -> None:
  """Defines the flags of a run in several processes."""
  flags.DEFINE_bool(
    'multi_host', False, 'Joins the processes that the cluster started.'
  )
  flags.DEFINE_string('coordinator', None, 'HOST:PORT of process 0.')
  flags.DEFINE_integer('num_processes', None, 'Processes of the run.')
  flags.DEFINE_integer('process_id', None, 'Number of this process, from 0.')


def define_runner_flags() -> None:
  """Defines the flags of what trains many runs."""
  flags.DEFINE_enum(
    'runner', None, RUNNERS, 'What trains; default: the fastest here.'
  )
  flags.DEFINE_integer(
    'processes', None, 'Runs at a time (processes).', lower_bound=1
  )
  flags.DEFINE_string(
    'address', None, "HOST:PORT of a Ray cluster, or 'auto' (ray)."
  )
  flags.DEFINE_float(
    'num_cpus', None, 'CPU cores a run (ray); default: 1.', lower_bound=0
  )
  flags.DEFINE_float(
    'num_gpus', None, 'GPUs a run (ray); default: 0.', lower_bound=0
  )


def values(names: Iterable[str]) -> dict[str, object]:
  """The values of some flags, by name."""
  return {name: FLAGS[name].value for name in names}


def runner_flags() -> dict[str, object]:
  """The arguments of `choice.build`: 'name', and the options."""
  return {'name': FLAGS['runner'].value, **values(RUNNER_OPTIONS)}


def define_config_flag() -> None:
  """Defines --config=FILE; --config.FIELD=VALUE need no definition."""
  flags.DEFINE_string(
    'config', None, 'A config file; --config.FIELD=VALUE changes a field.'
  )


def config_file() -> tuple[ModuleType, ml_collections.ConfigDict]:
  """The config file and its config, without the overrides.

  Raises:
    errors.ConfigError: a file that cannot be loaded.
  """
  file, *argument = FLAGS.config.split(':', 1)
  module = config_files.load(file)
  return module, config_files.config_of(module, *argument)


def parse(
  argv: Sequence[str], arguments: Sequence[str], required: Sequence[str]
) -> list[Any]:
  """Parses the flags; returns the arguments of `main`: see `run`.

  Raises:
    flags.Error: a wrong command line.
  """
  words = FLAGS.read_flags_from_files(argv[1:], force_gnu=False)
  further = []
  try:
    if 'config' in FLAGS:
      words, overrides = config_files.split(words)
      further = [overrides]
    given = FLAGS([argv[0], *words])[1:]
  except ValueError as error:  # Of absl, for --noflag=value.
    raise flags.Error(str(error)) from error
  for name, value in FLAGS.flag_values_dict().items():
    if isinstance(value, float) and not math.isfinite(value):
      raise flags.Error(f'--{name}={value} is not allowed: must be finite')
  for name in required:
    if FLAGS[name].value in (None, ''):
      raise flags.Error(f'--{name} is needed')
  if len(given) != len(arguments):
    wanted = ' '.join(arguments) or 'none'
    raise flags.Error(f'arguments are {given}; needed: {wanted}')
  return [*given, *further]
