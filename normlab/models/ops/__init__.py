"""Operations of the models, in the form that is fastest on each device."""
