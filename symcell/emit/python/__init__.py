"""What the printers of Python targets share."""
