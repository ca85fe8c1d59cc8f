"""What is done with a trained norm: fold, recalibrate, mix statistics."""
