"""Services as kernel rules: a pure rule set, and one backend per mode."""
