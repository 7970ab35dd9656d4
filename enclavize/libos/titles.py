"""How messages call the LibOSes that have toolchains, by what ``--libos`` calls them."""

TITLES = {"gramine": "Gramine", "occlum": "Occlum"}
