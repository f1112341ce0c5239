"""The engine "py": the same machine as ../machine, on rp2040py. One module there, one here, of the same name.

Rules: imports rp2040py, so nothing but this package's own process imports it.
"""
