"""The Jinja templates (installed as ``symcell.templates``)."""
