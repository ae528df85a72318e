"""Paths below an object that are not its status or scale, one file each."""
