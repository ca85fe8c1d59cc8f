"""The figure."""


def plot(experiment, table, scale):
  from matplotlib.figure import Figure

  return Figure()
