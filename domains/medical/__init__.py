"""Medical questioning: a policy asks a simulated patient before it names a diagnosis, and is paid for what it learns.

Research software, not medical advice: the cases are synthetic or taken from examinations, the embedded frequencies
are coarse and not reviewed by clinicians, and nothing here may be used on patients.
"""
