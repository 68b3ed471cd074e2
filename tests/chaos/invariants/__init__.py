"""The invariants, a family to a file. Each function yields what refutes one of them."""
