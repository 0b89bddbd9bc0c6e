"""What a record says of lies: what they achieved, who is suspicious, and what was assumed.

Everything here reads lines that nodes have written and adds them up; nothing needs a tensor.
"""
