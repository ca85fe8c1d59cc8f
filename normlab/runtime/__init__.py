"""The machine: devices, processes, signals, the terminal."""
