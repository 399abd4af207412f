"""An existing cluster: whether it has what we need, its Kubeflow Pipelines server, and schedules on it."""
