"""Two small servers built on micromegas_auth's public names."""
