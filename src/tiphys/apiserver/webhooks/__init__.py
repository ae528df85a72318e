"""Calls from the API server to webhooks: where they are, TLS to them, time limits, and upstream's words when they fail.

Used for admission, conversion of custom resources, and for webhooks that authenticate or authorize. What is asked, and
what an answer means, is each caller's own.
"""
