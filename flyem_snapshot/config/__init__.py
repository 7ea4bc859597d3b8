"""The configuration: models, JSON Schema, templates, loader with line numbers."""
