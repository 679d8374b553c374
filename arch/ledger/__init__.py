"""The ledger: the figures that papers print, the exact ones, and a verdict on each."""
