"""Which changes of weights and data does each norm not see?
"""
