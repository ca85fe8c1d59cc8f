"""What a run writes while it trains: rows, events and checkpoints, consistent."""
