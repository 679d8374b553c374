"""What trainings say about the networks behind them: effects, scores, the next seed, plans. Knows numbers only.

Gains are differences to the base in the unit of the scores, as a rule points (percent) of held-out accuracy.
"""
