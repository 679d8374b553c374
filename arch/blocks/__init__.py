"""Block and head definitions: functions from channel numbers to nodes. Importing this package registers all of ours."""

from arch.blocks import families, heads, published  # noqa: F401
