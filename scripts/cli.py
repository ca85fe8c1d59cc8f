"""What the scripts share: flags, and errors as one line with an exit status."""

import os
import pathlib
import re
import sys
from collections.abc import Callable, Sequence

# The checkout of this script, whichever the environment was made for.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
NEEDS_LAB = "the scripts need the extra lab: pip install -e '.[lab]'"

try:
  import ml_collections
  from absl import flags
  from ml_collections import config_flags

  from normlab import errors, records, registry
  from normlab.runtime import interruption
except ModuleNotFoundError as missing:
  sys.exit(f'{os.path.basename(sys.argv[0])}: {missing}; {NEEDS_LAB}')

FLAGS = flags.FLAGS
INPUT_ERROR, USAGE_ERROR, INTERRUPTED = 1, 2, 130
MULTI_HOST = ('multi_host', 'coordinator', 'num_processes', 'process_id')
RUNNERS = ('vectorized', 'processes', 'one_process', 'ray')
RUNNER_OPTIONS = ('processes', 'address', 'num_cpus', 'num_gpus')
OVERRIDE = re.compile(r'--?(?:no)?config\.([^=]+)')
VALUES = {
  int: 'a whole number',
  float: 'a number',
  bool: 'true or false',
  tuple: "numbers in brackets, as '(32, 64)'",
}


def run(
  main: Callable[..., int | None],
  argv: Sequence[str],
  *,
  arguments: Sequence[str] = (),
  required: Sequence[str] = (),
) -> int:
  """Parses the flags, runs `main`, and returns the exit status.

  Args:
    main: what to do; is given the positional arguments, and returns an exit
      status or None.
    argv: the command line.
    arguments: the names of the positional arguments.
    required: the names of the flags that must be given.

  Returns:
    0, or what `main` returned; 1 for input that cannot be used and 2 for a
    wrong command line, with a line a problem on standard error; 75 for runs
    that were interrupted and can be continued, 130 after Ctrl-C.
  """
  # Compiled programs are kept between runs, and shared by processes.
  cache = os.path.join(os.path.expanduser('~'), '.cache', 'normlab', 'xla')
  os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', cache)
  # Also those that compile in tenths of a second: a start has a dozen of them.
  os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
  if {'--help', '-h', '--helpfull'} & {*argv}:
    print(sys.modules['__main__'].__doc__, help_text(), sep='\n')
    return 0
  try:
    return main(*parse(argv, arguments, required)) or 0
  except flags.Error as error:
    return fail(USAGE_ERROR, error)
  except interruption.InterruptedSweep as error:
    return fail(interruption.STATUS, error)
  except KeyboardInterrupt:
    return fail(INTERRUPTED, 'interrupted')
  except errors.ConfigError as error:
    return fail(INPUT_ERROR, *error.problems)
  except ModuleNotFoundError as error:
    return fail(INPUT_ERROR, f'{error}; {NEEDS_LAB}')
  except records.RecordError as error:
    return fail(INPUT_ERROR, error)


def help_text() -> str:
  """All flags of the script: its own, and those that scripts share."""
  own, shared = FLAGS.main_module_help(), FLAGS.module_help(__name__)
  change = '  --config.FIELD=VALUE: changes a field of the config'
  return '\n'.join([own, shared, change if 'config' in FLAGS else ''])


def fail(status: int, *problems: object) -> int:
  """Prints one line a problem, and returns the status."""
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


def multi_host_flags() -> dict[str, object]:
  """Their values, by name."""
  return {name: FLAGS[name].value for name in MULTI_HOST}


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


def runner_flags() -> dict[str, object]:
  """Their values: 'name', and the options that are given."""
  options = {name: FLAGS[name].value for name in RUNNER_OPTIONS}
  return {'name': FLAGS['runner'].value, **options}


def parse(
  argv: Sequence[str], arguments: Sequence[str], required: Sequence[str]
) -> list[str]:
  """Parses the flags; returns the positional arguments.

  Raises:
    flags.Error: a wrong command line.
    errors.ConfigError: a config that cannot be loaded, or a field or value that
      it does not take.
  """
  if 'config' in FLAGS:
    check_overrides(argv, config_types(argv))
  given = FLAGS(list(argv))[1:]
  for name in required:
    if FLAGS[name].value in (None, ''):
      raise flags.Error(f'--{name} is needed')
  if len(given) != len(arguments):
    wanted = ' '.join(arguments) or 'none'
    raise flags.Error(f'arguments are {given}; needed: {wanted}')
  return given


def load(words: Sequence[str]) -> ml_collections.ConfigDict | None:
  """The config of --config=FILE and overrides, apart from the other flags."""
  probe, words = flags.FlagValues(), list(words)
  config_flags.DEFINE_config_file('config', flag_values=probe, sys_argv=words)
  probe(['', *words], known_only=True)
  return probe['config'].value


def config_types(argv: Sequence[str]) -> dict[str, type]:
  """The type of each field of the config file, by dotted path.

  The file is loaded here without the overrides, so that an error in either can
  be told apart, and said in one line.

  Raises:
    errors.ConfigError: a file that is missing, or that fails.
  """
  try:
    config = load(grouped(argv)[0])
    return {} if config is None else records.types(config)
  except Exception as error:  # A config is a program: it can raise anything.
    reason = str(error).strip().splitlines()[-1].strip()
    raise errors.ConfigError(
      f'--config cannot be loaded: {type(error).__name__}: {reason}'
    ) from error


def check_overrides(argv: Sequence[str], types: dict[str, type]) -> None:
  """Refuses --config.field=value for a field or a value that it does not take.

  Raises:
    errors.ConfigError: all that is wrong with the overrides, and with the
      config without those.
  """
  file, overrides = grouped(argv)
  problems, accepted = [], list(file)
  for field, words in overrides:
    if field not in types:
      problems.append(registry.unknown('config field', field, types))
      continue
    try:
      load([*file, *words])
      accepted += words
    except flags.IllegalFlagValueError as error:
      problems.append(bad_value(field, error, types))
  if problems:
    from normlab import validation

    try:
      validation.check(load(accepted))
    except errors.ConfigError as error:
      problems += error.problems
    raise errors.ConfigError(*problems)


def grouped(
  argv: Sequence[str],
) -> tuple[list[str], list[tuple[str, list[str]]]]:
  """The words of --config, and those of each override with its field."""
  file: list[str] = []
  overrides: list[tuple[str, list[str]]] = []
  group: list[str] | None = None
  for word in argv[1:]:
    if match := OVERRIDE.match(word):
      overrides.append((match[1], [word]))
    elif re.match(r'--?config(=|$)', word):
      file.append(word)
    elif group is not None and not word.startswith('-'):
      group.append(word)  # --config.field value
    takes_next = '=' not in word and re.match(r'--?config\b', word)
    group = (overrides[-1][1] if match else file) if takes_next else None
  return file, overrides


def bad_value(
  field: str, error: flags.IllegalFlagValueError, types: dict[str, type]
) -> str:
  """Says what a config field takes."""
  match = re.match(r'flag --config\.[^=]+=(.*?): ', str(error), re.DOTALL)
  value = match[1] if match else '?'
  allowed = VALUES.get(types[field], 'text')
  return f'config.{field}={value!r} is not allowed: must be {allowed}'
