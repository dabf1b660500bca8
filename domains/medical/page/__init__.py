"""The local page of `scirl play medical`: a person plays doctor, or watches one.

Research software, not medical advice.
"""
