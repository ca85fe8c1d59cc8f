"""The networks of the landscape, a file a scale."""
