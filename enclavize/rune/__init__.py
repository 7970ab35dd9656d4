"""The OCI runtime for TEE containers: what stands between rune's front end (native/rune) and runc."""
