"""Kubernetes: documents, applied by server-side apply and waited for."""
