"""The figure."""


def plot(experiment, table, scale):
  raise NotImplementedError
