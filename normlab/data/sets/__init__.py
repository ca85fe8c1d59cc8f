"""Data sets by name: embedded, or prepared by TFDS."""
