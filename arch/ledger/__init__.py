"""The figures that papers print, beside the exact ones, with a verdict on each."""
