"""Helpers for the course on federated learning and privacy with TensorFlow Federated.

Importing this package is instant: each module loads TensorFlow only when it is itself imported.
"""

from fedlab import _quiet as _quiet

__version__ = "0.1.0"

__all__ = ["__version__"]
