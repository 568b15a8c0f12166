"""The operator's port, with Envoy's names: is it alive, is it ready, what does it count."""
