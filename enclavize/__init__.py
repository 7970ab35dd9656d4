"""Turn OCI images into TEE images and run them inside Intel SGX enclaves."""

__version__ = "0.2.0"
