"""Stands in for VLMEvalKit where that cannot be: it does not install beside the other toolkits (150 packages, 2.6 GB).

It has what our launcher touches, under the same names and with the same calls as ms-vlmeval 0.0.20, and nothing else.
`make test-vlmevalkit` runs the same tests on the real one.
"""
