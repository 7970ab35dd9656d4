"""Occlum instances, made without Occlum's programs."""
