"""Programs elsewhere that filter, score, preempt or bind: upstream's scheduler extenders, over HTTP."""
