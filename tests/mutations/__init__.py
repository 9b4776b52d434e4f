"""Mutations: every rule of money broken on purpose, and what notices it."""
