"""Drawing: interactive plots, their pictures, and the page that shows them together."""
