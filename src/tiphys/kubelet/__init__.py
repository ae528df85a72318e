"""The node agent: turns pods bound to its node into containers, through CRI."""
