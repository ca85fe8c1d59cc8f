"""Networks whose covariate shift is measured."""
