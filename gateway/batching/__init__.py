"""Rows of many callers to model calls and back: what shares a call, in what order, and what a failure costs."""
