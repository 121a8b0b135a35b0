"""Which images a person should check next."""
