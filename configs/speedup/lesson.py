from configs.speedup import digits

get_config = digits.get_config
