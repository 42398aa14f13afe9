"""fedstill: federated distillation into one small, signed INT8 student. This package is the front door: command and public API."""

__version__ = "0.1.0"
