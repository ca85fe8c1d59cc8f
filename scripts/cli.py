"""What the scripts share: flags, and errors as one line with an exit status."""

import os
import sys
from collections.abc import Callable, Sequence

from absl import flags

FLAGS = flags.FLAGS
INPUT_ERROR, USAGE_ERROR, INTERRUPTED = 1, 2, 130


def run(
  main: Callable[..., int | None],
  argv: Sequence[str],
  arguments: Sequence[str] = (),
) -> int:
  """Parses the flags, runs `main`, and returns the exit status.

  Args:
    main: what to do; is given the positional arguments, and returns an exit
      status or None.
    argv: the command line.
    arguments: the names of the positional arguments.

  Returns:
    0; 1 for input that cannot be used and 2 for a wrong command line, each with
    one line on standard error; 130 after Ctrl-C.
  """
  # Compiled programs are kept between runs, and shared by processes.
  cache = os.path.join(os.path.expanduser('~'), '.cache', 'normlab', 'xla')
  os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', cache)
  if {'--help', '-h', '--helpfull'} & {*argv}:
    print(sys.modules['__main__'].__doc__, FLAGS.main_module_help(), sep='\n')
    return 0
  try:
    given = FLAGS(list(argv))[1:]
  except flags.Error as error:
    return fail(USAGE_ERROR, error)
  except Exception as error:  # From a config file, or --config.field=value.
    return fail(INPUT_ERROR, error)
  if len(given) != len(arguments):
    wanted = ' '.join(arguments) or 'none'
    return fail(USAGE_ERROR, f'arguments are {given}; needed: {wanted}')
  try:
    return main(*given) or 0
  except ValueError as error:
    from normlab import names, records

    if not isinstance(error, names.ConfigError | records.RecordError):
      raise
    return fail(INPUT_ERROR, error)
  except KeyboardInterrupt:
    return fail(INTERRUPTED, 'interrupted')


def fail(status: int, error: object) -> int:
  """Prints one line, and returns the status."""
  line = ' '.join(str(error).split())
  print(f'{os.path.basename(sys.argv[0])}: {line}', file=sys.stderr)
  return status
