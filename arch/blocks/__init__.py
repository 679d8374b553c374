"""Block and head definitions: functions from channel numbers to nodes. Importing this package registers all of ours."""

from arch.registry import load_modules

load_modules(__name__, __path__)
