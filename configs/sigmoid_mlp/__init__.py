"""The networks of three sigmoid layers, a file a scale."""
