"""A machine that runs TEE containers: its engines' configuration, and what it has."""
