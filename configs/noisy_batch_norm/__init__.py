"""The networks of noise after BatchNorm, a file a scale."""
