"""Modules emitted from the shipped cells: each stands alone and can be copied into a project."""
