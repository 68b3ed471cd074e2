"""Generated from protos/penstock/v1 by `make proto`; never edited."""
