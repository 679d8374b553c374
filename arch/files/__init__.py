"""Files of any kind: atomic writes, YAML from untrusted files, HTML tables for notebooks."""
