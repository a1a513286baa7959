"""The range with models: registry, serving, gateway, cloud account, secrets and certificates of one company."""
