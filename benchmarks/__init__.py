"""What authentication costs, each row as a ratio to the bare primitive it cannot do without."""
