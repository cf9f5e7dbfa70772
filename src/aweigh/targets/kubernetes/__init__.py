"""Kubernetes: a release as objects of a cluster; as plain YAML, a kustomize base or a Helm chart, from one source."""
