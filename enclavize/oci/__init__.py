"""OCI images in and out: references, manifests, registries, layouts, archives, docker, the blob cache."""
