"""What operators see: metrics and the log. Never a prompt, a key or a session id."""
