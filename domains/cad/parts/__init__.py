"""The part generator: families of machine parts with closed-form measures, programs, reasoning and descriptions."""
