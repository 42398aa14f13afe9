"""Quantisation-aware training: a torch student learns with the very arithmetic that its INT8 file has at the runtime."""
