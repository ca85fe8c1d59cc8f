"""Operations on trained norms: fold, recalibrate, mix statistics."""
