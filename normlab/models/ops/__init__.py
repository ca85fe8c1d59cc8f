"""The operations of the models, in the form that is fast on the device."""
