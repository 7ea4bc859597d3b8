"""Pure domain knowledge of connectomes: point ids, ROI naming, statuses, properties, weights."""
