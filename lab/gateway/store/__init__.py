"""The object store's side of the gateway: S3 requests under the same modes, in the same audit log."""
