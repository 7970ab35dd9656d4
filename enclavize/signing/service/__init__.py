"""The signing service: signs for clients what their policies allow (docs/signing-service.md)."""
