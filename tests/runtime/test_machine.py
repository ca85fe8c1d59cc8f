import re

import jax

from normlab.runtime import machine


def test_a_machine_is_its_processor_its_cores_and_the_device():
  text = machine.machine()
  assert machine.cpu_name() in text and machine.cpu_name()
  assert f'{len(machine.usable_cores())} cores' in text
  assert 'device cpu' in text and '\n' not in text


def test_versions_are_of_the_packages_that_are_installed():
  text = machine.versions('jax', 'no_such_package', 'normlab')
  assert re.fullmatch(rf'jax {jax.__version__}, normlab [\d.]+', text)
