"""flyem-snapshot: freeze a connectome at one moment and publish it in the forms the field consumes."""

__version__ = "0.1.0"
