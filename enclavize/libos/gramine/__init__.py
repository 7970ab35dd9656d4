"""Gramine: the manifest, the trusted files and the instance, made without Gramine's own tools."""
