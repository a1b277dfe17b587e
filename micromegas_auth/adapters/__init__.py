"""The outside world: each module fits one framework and holds no policy. Import them one by one."""
